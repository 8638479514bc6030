"""Puts the report together."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import pandas as pd

from alerts.incidents import HEADLINES, percent
from alignwatch import SEVERITIES, Incident, __version__
from monitor.plots import Markup, e, key
from monitor.report._chart import LINES, chart
from monitor.report._incident import incident
from monitor.windows import SLIDING_PANES
from monitor.words import moment, plural, span

STYLES: Final = (Path(__file__).parents[1] / "plots" / "static" / "plots.css", Path(__file__).with_name("report.css"))
POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
TABLE_ROWS: Final = 400


def write_report(path: Path, frames: Mapping[str, pd.DataFrame], incidents: Sequence[Incident]) -> None:
    """Write the report as one HTML file.

    Args:
        path: where; an existing file is replaced.
        frames: by deployment, as `monitor.windows.Windows.frames` makes them.
        incidents: found in the same labels.

    Raises:
        OSError: the file can't be written.
    """
    path.write_text(render(frames, incidents), encoding="utf-8", errors="replace")


def render(frames: Mapping[str, pd.DataFrame], incidents: Sequence[Incident]) -> str:
    """The report's HTML; the same input gives the same bytes."""
    names = sorted({*frames, *(one.deployment for one in incidents)}, key=lambda name: (_worst(name, incidents), name))
    head = e(
        "head",
        e("meta", charset="utf-8"),
        e("meta", name="viewport", content="width=device-width, initial-scale=1"),
        e("meta", name="color-scheme", content="light dark"),
        e("meta", http_equiv="Content-Security-Policy", content=POLICY),
        e("title", f"alignwatch report: {_title(incidents)}"),
        e("style", Markup("".join(path.read_text(encoding="utf-8") for path in STYLES))),
    )
    body = e(
        "body",
        e("header", _banner(frames, incidents)),
        _contents(names, incidents),
        e("main", [_deployment(name, frames.get(name), _of(name, incidents)) for name in names]),
        e(
            "footer",
            e(
                "p",
                f"alignwatch {__version__}. Times are UTC. Rates are of sensitive requests, weighted to all traffic.",
            ),
        ),
    )
    return f"<!doctype html>\n{e('html', head, body, lang='en')}\n"


def _of(name: str, incidents: Sequence[Incident]) -> list[Incident]:
    """The deployment's incidents, the gravest first and then the oldest."""
    mine = (one for one in incidents if one.deployment == name)
    return sorted(mine, key=lambda one: (SEVERITIES.index(one.severity), one.detected_at))


def _worst(name: str, incidents: Sequence[Incident]) -> int:
    return min((SEVERITIES.index(one.severity) for one in incidents if one.deployment == name), default=len(SEVERITIES))


def _conclusion(incidents: Sequence[Incident]) -> str:
    return plural(len(incidents), "incident") if incidents else "no incident"


def _title(incidents: Sequence[Incident]) -> str:
    found = sorted({HEADLINES[one.verdict] for one in incidents})
    return ": ".join(filter(None, (_conclusion(incidents).capitalize(), ", ".join(found))))


def _banner(frames: Mapping[str, pd.DataFrame], incidents: Sequence[Incident]) -> Markup:
    grave = any(one.severity in {"critical", "error"} for one in incidents)
    state = "alarm" if grave else "notice" if incidents else "calm"
    return e(
        "div",
        e("p", "alignwatch report", cls="brand"),
        e("h1", _title(incidents)),
        e("p", _covers(frames)),
        cls=f"banner {state}",
    )


def _covers(frames: Mapping[str, pd.DataFrame]) -> str:
    whole = [frame for frame in frames.values() if len(frame)]
    if not whole:
        return "No label was read."
    start = min(frame["start"].iloc[0].timestamp() for frame in whole)
    end = max(frame["start"].iloc[-1].timestamp() + frame["seconds"].iloc[-1] for frame in whole)
    labels = sum(int(frame["labels"].sum()) for frame in whole)
    return f"{moment(start)} to {moment(end)} UTC · {plural(len(whole), 'deployment')} · {plural(labels, 'label')}"


def _contents(names: Sequence[str], incidents: Sequence[Incident]) -> Markup | None:
    if len(names) < 2:  # noqa: PLR2004 - a list of one tells nothing
        return None
    rows = [
        e("li", e("a", name, href=f"#deployment-{i}"), " ", e("span", _conclusion(_of(name, incidents)), cls="fine"))
        for i, name in enumerate(names)
    ]
    return e("nav", e("ul", rows), aria_label="Deployments")


def _deployment(name: str, panes: pd.DataFrame | None, incidents: Sequence[Incident]) -> Markup:
    return e(
        "section",
        e("h2", name),
        _plot(panes, incidents) if panes is not None and len(panes) else e("p", "No label was read.", cls="fine"),
        [incident(one) for one in incidents] or e("p", "No incident.", cls="fine"),
        cls="deployment",
    )


def _plot(panes: pd.DataFrame, incidents: Sequence[Incident]) -> Markup:
    seconds = float(panes["seconds"].iloc[-1])
    legend = [e("li", key(name), text) for name, text in reversed(LINES)]
    legend.append(e("li", key("band"), "95 % interval of “answered”"))
    if any(one.onset for one in incidents):
        legend.append(e("li", key("onset"), "when it began, 95 % interval"))
    note = f"Lines are means over the latest {SLIDING_PANES} panes of {span(seconds)}; dots are single panes."
    return e(
        "figure",
        e("figcaption", "What the model does with sensitive requests"),
        e("ul", legend, cls="legend"),
        e("div", chart(panes, incidents), cls="scroll"),
        e("p", note, cls="fine"),
        _numbers(panes),
    )


def _numbers(panes: pd.DataFrame) -> Markup:
    """The chart as a table of windows that do not overlap, for those who read numbers or hear the page."""
    rows = panes.iloc[SLIDING_PANES - 1 :: SLIDING_PANES].tail(TABLE_ROWS)
    head = e("tr", [e("th", text, scope="col") for text in ("Until (UTC)", *(text for _, text in reversed(LINES)))])
    return e(
        "details",
        e("summary", "The same in numbers"),
        e("div", e("table", e("thead", head), e("tbody", _number_rows(rows))), cls="scroll"),
    )


def _number_rows(rows: pd.DataFrame) -> Iterator[Markup]:
    for row in rows.to_dict("records"):
        end = row["start"].timestamp() + row["seconds"]
        cells = [_with_interval(row, f"sliding_{name}") for name, _ in reversed(LINES)]
        yield e("tr", e("th", moment(end), scope="row"), [e("td", cell) for cell in cells])


def _with_interval(row: Mapping[Hashable, Any], name: str) -> str:
    rate, low, high = row[name], row[f"{name}_low"], row[f"{name}_high"]
    return "–" if pd.isna(rate) else f"{percent(rate)} % ({percent(low)} to {percent(high)})"
