"""`python -m classifiers.training card`: measures the artefact, compares with its card, writes the card if told to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from classifiers.card import CARD, Card, load_card, load_rates
from classifiers.training.agreement import differences
from classifiers.training.rows import data_folder, have_data

SECTIONS_NEEDING_DATA = "every section but the definitions"
SHOWN = 40


def _say(text: str) -> None:
    print(text, flush=True)


def write(folder: Path, card: Card, measured: dict[str, Any]) -> None:
    """Writes `card.json`, `CARD.md` and the plot; sections that were not measured now are kept."""
    from classifiers.training.artefact import write_card
    from classifiers.training.markdown import write_markdown
    from classifiers.training.plot import PLOT, write_plot

    card = card.model_copy(update={"evaluation": {**card.evaluation, **measured}})
    write_card(folder, card)
    calibration = card.evaluation["calibration"]
    write_plot(calibration["bins"], calibration["ece"], folder / PLOT)
    write_markdown(folder, card, load_rates(folder))


def run(folder: Path, float_graph: Path, *, rewrite: bool) -> int:
    """Measures and compares; returns the exit status: 1 where the card states other figures.

    Args:
        folder: the artefact.
        float_graph: the fp32 graph, if it is there.
        rewrite: write the card from what was measured, with the speed of this machine.
    """
    card = load_card(folder)
    if not have_data():
        _say(
            f"card: no labelled pairs in {data_folder()}; {SECTIONS_NEEDING_DATA} rests on them, so nothing was checked"
        )
        return 0
    from classifiers.training.report import measure

    measured = measure(folder, float_graph, _say)
    if rewrite:
        from classifiers.training.speed import measure_speed

        _say("measuring speed")
        write(folder, card, measured | {"speed": measure_speed(folder)})
        _say(f"card: written to {folder}")
        return 0
    _say(headline(measured))
    return _compared(card, measured, folder)


def _compared(card: Card, measured: dict[str, Any], folder: Path) -> int:
    stated = {key: value for key, value in card.evaluation.items() if key in measured}
    if unstated := sorted(set(measured) - set(stated)):
        _say(f"card: {folder / CARD} says nothing of {', '.join(unstated)}; --write adds it")
    found = list(differences(stated, measured))
    for line in found[:SHOWN]:
        _say(f"  {line}")
    if found or unstated:
        _say(f"card: {len(found)} figures differ from {folder / CARD}")
        return 1
    _say(f"card: {_count(stated)} figures agree with {folder / CARD} (sections: {', '.join(stated)})")
    return 0


def _count(value: Any) -> int:
    if isinstance(value, dict):
        return sum(map(_count, value.values()))
    if isinstance(value, list):
        return sum(map(_count, value))
    return int(isinstance(value, int | float) and not isinstance(value, bool))


def headline(measured: dict[str, Any]) -> str:
    """The summary table of the card, for the terminal."""
    from classifiers.training.card_checks import glance

    return glance(measured)
