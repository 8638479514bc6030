"""The reliability plot of the card."""

from __future__ import annotations

from pathlib import Path
from typing import Any

PLOT = "reliability.png"
TITLES = {
    "harm": "request is harmful",
    "category": "category is right",
    "behaviour": "answer complies",
    "response_harm": "answer is harmful",
}


def write_plot(bins: dict[str, list[dict[str, float]]], errors: dict[str, float], file: Path) -> None:
    """One panel a head: observed rate over mean probability, with the share of texts in each bin.

    Args:
        bins: by head, as `calibration_report` gives them.
        errors: expected calibration error by head.
        file: where the PNG goes.
    """
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, len(bins), figsize=(3.2 * len(bins), 4.0), sharey=True, layout="constrained")
    for axis, (head, found) in zip(axes, bins.items(), strict=True):
        _panel(axis, TITLES.get(head, head), found, errors[head])
    axes[0].set_ylabel("observed rate")
    figure.savefig(file, dpi=110, metadata={"Software": None})
    plt.close(figure)


def _panel(axis: Any, title: str, found: list[dict[str, float]], error: float) -> None:
    total = sum(b["n"] for b in found)
    x, y = [b["probability"] for b in found], [b["observed"] for b in found]
    axis.bar(x, [b["n"] / total for b in found], width=0.06, color="#c9d7e3", zorder=1)
    axis.plot((0, 1), (0, 1), color="#999999", linewidth=1, linestyle="--", zorder=2)
    axis.plot(x, y, color="#1f4e79", marker="o", markersize=4, linewidth=1.5, zorder=3)
    axis.set(title=f"{title}\nerror {error:.3f}", xlabel="probability", xlim=(0, 1), ylim=(0, 1))
    axis.set_box_aspect(1)
