"""An incident in the report: how much, since when, how sure, where, and what was to be done."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Final

from alerts.guidance import NEXT_STEPS
from alerts.incidents import HEADLINES, leading_stream, measure, percent
from alignwatch import CategoryFinding, Incident, Onset, StreamFinding
from monitor.plots import Markup, bar, dumbbell, e
from monitor.words import category, clock, moment, plural, span

MAX_IDS: Final = 50


def incident(one: Incident) -> Markup:
    """The section of one incident."""
    return e(
        "section",
        e(
            "h3",
            e("span", one.severity, cls=f"chip {one.severity}"),
            " ",
            _upper(HEADLINES[one.verdict]),
            e("span", f"{one.id} · {one.status}", cls="fine"),
        ),
        e("p", one.summary, cls="summary") if one.summary else None,
        e("dl", _facts(one), cls="facts"),
        _categories(one),
        _evidence(one),
        e("h4", "What to do"),
        e("ol", [e("li", step) for step in NEXT_STEPS[one.verdict]]),
        _ids(one),
        cls="incident",
        id=f"incident-{one.id}",
    )


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]


def _fact(name: str, value: str, *lines: str) -> Markup:
    return e("div", e("dt", name), e("dd", e("b", value), [e("span", line) for line in lines if line]))


def _facts(one: Incident) -> Iterator[Markup]:
    stream = leading_stream(one)
    if stream is not None:
        yield _how_much(stream)
    if one.onset is not None:
        yield _fact(
            "Since when",
            f"{moment(one.onset.estimate)} UTC",
            f"between {clock(one.onset.low, one.onset.estimate)} and {clock(one.onset.high, one.onset.estimate)}",
            f"detected {clock(one.detected_at, one.onset.estimate)}, {_later(one.onset, one.detected_at)}",
        )
    else:
        yield _fact("Detected", f"{moment(one.detected_at)} UTC")
    if stream is not None:
        yield _fact(
            "How sure",
            f"evidence 10^{stream.evidence_log10:.1f}",
            f"alarm level 10^{stream.threshold_log10:.1f}",
            _budget(one.false_alarm_budget),
        )
    change = one.nearest_change
    if change is not None:
        yield _fact(
            "Nearest change", f"{change.kind}, {moment(change.timestamp)} UTC", change.summary, change.reference or ""
        )
    yield _fact(
        "Weights digest", (one.model_digest or "unknown").removeprefix("sha256:")[:16],
        f"{plural(one.labels_since_onset, 'label')} since the onset",
    )  # fmt: skip


def _later(onset: Onset, detected: datetime) -> str:
    seconds = (detected - onset.estimate).total_seconds()
    return f"{span(seconds)} later" if seconds > 0 else "at once"


def _how_much(stream: StreamFinding) -> Markup:
    before = "" if stream.baseline is None else f"{percent(stream.baseline)} % → "
    now = "moved" if stream.observed is None else f"{percent(stream.observed)} %"
    interval = stream.interval
    around = "" if interval is None else f"95 % interval {percent(interval[0])} % to {percent(interval[1])} %"
    return _fact("How much", before + now, measure(stream.name), around)


def _budget(per_90_days: float | None) -> str:
    if not per_90_days:
        return ""
    return f"chance would do this once in {span(90 * 86400 / per_90_days)}"


def _categories(one: Incident) -> Markup | None:
    if not one.categories:
        return None
    rows = [
        e(
            "tr",
            e("th", category(found.name), scope="row"),
            e("td", _rates(found), cls="rates"),
            e("td", dumbbell(found.baseline, found.observed, found.interval), cls="picture"),
            e("td", f"{100 * found.contribution:.0f} %", cls="n"),
            e("td", f"{found.labels:,}", cls="n"),
        )
        for found in one.categories
    ]
    head = _head("Category", "Before → since", "0 to 100 %", "Of the evidence", "Labels")
    return e("div", e("h4", "Categories"), e("table", e("thead", head), e("tbody", rows)), cls="scroll")


def _head(*names: str) -> Markup:
    """Column heads; the last two columns hold numbers."""
    return e(
        "tr", [e("th", name, scope="col", cls="n" if i >= len(names) - 2 else None) for i, name in enumerate(names)]
    )


def _rates(found: CategoryFinding) -> str:
    before = "" if found.baseline is None else f"{percent(found.baseline)} % → "
    return before + ("–" if found.observed is None else f"{percent(found.observed)} %")


def _evidence(one: Incident) -> Markup | None:
    if not one.streams:
        return None
    most = max(max(stream.evidence_log10, stream.threshold_log10) for stream in one.streams) or 1.0
    rows = [
        e(
            "tr",
            e("th", measure(stream.name), scope="row"),
            e("td", "▲ rose" if stream.direction == "up" else "▼ fell", cls="rates"),
            e("td", _bar(stream, most), cls="picture"),
            e("td", f"10^{stream.evidence_log10:.1f}", cls="n"),
            e("td", f"10^{stream.threshold_log10:.1f}", cls="n"),
        )
        for stream in one.streams
    ]
    head = _head("Statistic", "Direction", "Logarithmic, the alarm level as a line", "Evidence", "Alarm level")
    return e("div", e("h4", "Evidence"), e("table", e("thead", head), e("tbody", rows)), cls="scroll")


def _bar(stream: StreamFinding, most: float) -> Markup:
    past = stream.evidence_log10 >= stream.threshold_log10
    return bar(stream.evidence_log10 / most, past=past, level=stream.threshold_log10 / most)


def _ids(one: Incident) -> Markup | None:
    if not one.evidence_ids:
        return None
    shown = one.evidence_ids[:MAX_IDS]
    more = len(one.evidence_ids) - len(shown)
    return e(
        "details",
        e("summary", f"{plural(len(one.evidence_ids), 'exchange')} that weighed most"),
        e("p", "Look these ids up in the gateway's own log; nothing here holds their text.", cls="fine"),
        e("p", [(e("code", one_id), " ") for one_id in shown], f"and {more} more" if more else None, cls="ids"),
    )
