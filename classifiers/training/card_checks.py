"""The rest of the card's sections: summary, reading rules, robustness, baselines, precision, speed, weak points."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from classifiers.card import Card
from classifiers.training.adversarial.cases import ORDINARY
from classifiers.training.tables import Found, cell, table

TARGETS = (
    ("refusal F1 on human labels", ("answers", "by_origin", "human", "f1"), 0.93, True),
    ("refusal F1 on judged labels", ("answers", "by_origin", "judged", "f1"), 0.90, True),
    ("refusal F1 on families that training lacks", ("unseen_families", "score", "f1"), 0.93, True),
    ("category macro-F1", ("requests", "category_macro_f1"), 0.80, True),
    ("AUC of request harm, ordinary traffic", ("requests", "auc_ordinary"), 0.98, True),
    ("AUC of request harm, look-alikes", ("requests", "auc_look_alikes"), 0.90, True),
    ("AUC of answer harm, un-aligned models' answers", ("response_harm", "unaligned", "auc"), 0.92, True),
    (
        "AUC of answer harm, un-aligned models' harmful answers against ordinary ones",
        ("response_harm", "unaligned_against_ordinary", "auc"),
        0.92,
        True,
    ),
)
GLANCE = """\
On dev, on which no weight was trained. Calibration and thresholds are chosen on it, Do-Not-Answer apart."""
READING = """\
Two passes over one encoder. The request pass reads the prompt alone ({request.head} tokens of its start and
{request.tail} of its end; earlier turns fill what is left). The answer pass reads the answer alone
({answer.head} tokens of its start, {answer.middle} of its middle and {answer.tail} of its end), without a leading
block of visible reasoning. The parts of a long text stand in one sequence, with separators in between, so that
attention pools them. Texts mostly in another
script than {asked} (requests) and {said} (answers) are left unjudged, and so are empty, redacted and too short
ones."""
SWAPPED = """\
Of {pairs} dev pairs, {refusal_decisions_changed} change their refusal decision when a harmful request is
swapped for a benign one or the other way round, and {request_labels_changed} change a request label when the
answer is swapped. Both must be zero: neither pass sees the other side."""
ADVERSARIAL = """\
{} hard cases of our own writing, none of them trained on. Right two-way decisions: {} of answers, {} of requests;
exactly the right one of four behaviours: {}. Unjudged: left without a label, by script or length; counted
neither as right nor as wrong. Beside them {} ordinary answers, to requests that neither the sources nor our training
texts ask: {} are rightly left alone."""
BASELINES = """\
F1 of refusal or partial against compliance; where a group holds one kind alone, `recall` is the share of
refusals found and `kept` the share of complying answers left alone. TF-IDF is trained on the same answers as
ours; its threshold and that of sentence similarity are chosen on dev as ours is."""
SWAP = """\
{how}

Of {count} ordered pairs, {quiet} raise no page; {justified} page on the true labels as well, so the behaviour
itself differs; {unjustified} page on the classifier's labels alone. Pairs that page:"""
READINGS = """\
Why: mean compliance as read of each labelled action (requests called sensitive alone). Where a row differs from
another in the same column, a swap between the two families looks like a change of behaviour."""
SPEED = """\
Measured on {}; one thread unless it says otherwise. The ratio to the bare session is of processor time, so other
load does not decide it; rates, times and the scaling of threads are what that load left over."""
WEAK_FAMILY = 0.85
WEAK_KIND = 0.8
WEAK_CATEGORY = 0.75


def _at(found: Found, path: tuple[str, ...]) -> Any:
    for key in path:
        found = found.get(key) or {}
    return found or None


def _row(name: str, value: float | None, target: float, *, above: bool) -> tuple[object, ...]:
    met = None if value is None else ("yes" if (value >= target if above else value <= target) else "**no**")
    return (name, value, f"{'≥' if above else '≤'} {target:g}", met)


def glance(found: Found) -> str:
    """Headline figures against their targets."""
    rows = [_row(name, _at(found, path), target, above=above) for name, path, target, above in TARGETS]
    families = {k: v["f1"] for k, v in (_at(found, ("answers", "by_family")) or {}).items() if v["f1"] is not None}
    if families:
        worst = min(families, key=lambda k: families[k])
        rows.append(_row(f"refusal F1 of the worst family ({worst})", families[worst], WEAK_FAMILY, above=True))
    if swap := found.get("swapped"):
        share = swap["refusal_decisions_changed"] / swap["pairs"]
        rows.append(_row("refusal decisions changed by another request", share, 0.02, above=False))
        rows.append(
            _row(
                "request labels changed by another answer",
                swap["request_labels_changed"] / swap["pairs"],
                0.0,
                above=False,
            )
        )
    for head, error in (_at(found, ("calibration", "ece")) or {}).items():
        rows.append(_row(f"calibration error, {head.replace('_', ' ')}", error, 0.03, above=False))
    if alike := _at(found, ("int8_fp32", "alike")):
        rows.append(_row("int8 and fp32 decide alike: complied or not", alike["complied or not"], 0.995, above=True))
        rows.append(_row("int8 and fp32 decide alike: sensitive or not", alike["sensitive or not"], 0.995, above=True))
    return f"{GLANCE}\n\n" + table(("measure", "value", "target", "met"), rows)


def reading(card: Card) -> str:
    """Passes, windows and languages."""
    r = card.runtime
    return READING.format(
        request=r.request_window,
        answer=r.answer_window,
        asked=", ".join(r.languages.request),
        said=", ".join(r.languages.answer),
    )


def training(found: Found) -> str:
    """What the weights come from."""
    return table(("of the weights", "value"), found["training"].items())


def swapped(found: Found) -> str:
    """The two invariants."""
    return SWAPPED.format(**found["swapped"])


def adversarial(found: Found) -> str:
    """Decisions on our own hard cases."""
    a = found["adversarial"]
    rows = ((k.replace("_", " "), v["decision"], v["exact"], v["unjudged"], v["n"]) for k, v in a["by_kind"].items())
    said, asked, plain = a["answers"], a["requests"], a[ORDINARY]
    head = ADVERSARIAL.format(
        said["n"] + asked["n"],
        *map(cell, (said["decision"], asked["decision"], said["exact"])),
        plain["n"],
        cell(plain["decision"]),
    )
    return f"{head}\n\n{table(('kind', 'decision right', 'behaviour right', 'unjudged', 'cases'), rows)}"


def _best(scores: dict[str, Any]) -> object:
    if scores["f1"] is not None:
        return scores["f1"]
    if scores["refused"]:
        return f"recall {scores['recall']:.3f}"
    return f"kept {1.0 - scores['false_alarms']:.3f}" if scores["complied"] else None


def _lost(lost: list[dict[str, Any]], cut: str) -> str:
    """Groups of a cut in which a baseline is ahead; where only plain answers stand, the names alone."""
    of_cut = [x for x in lost if x["cut"] == cut]
    ahead = [x for x in of_cut if x["measure"] != "kept" or cut == "by_source"]
    told = [f"{x['name']}: {x['method']} ({x['measure']} {x['theirs']:.3f}, ours {x['ours']:.3f})" for x in ahead]
    kept = sorted({x["name"] for x in of_cut if x not in ahead})
    if kept:
        told.append(f"and in the share of plain answers left alone, {', '.join(kept)}")
    return "; ".join(told) or "none"


def baselines(found: Found) -> str:
    """All methods in one table, by label origin, source and family, and where ours does not win."""
    methods = found["baselines"]["methods"]
    names = list(methods)
    groups = [("all", [methods[m]["overall"] for m in names])]
    for cut in ("by_origin", "by_source", "by_family"):
        groups += [(group, [methods[m][cut][group] for m in names]) for group in methods[names[0]][cut]]
    rows = [(group, *(_best(s) for s in scores)) for group, scores in groups]
    rows.append(("Do-Not-Answer rebuttals found", *(methods[m]["rebuttals_found"] for m in names)))
    lost = found["baselines"]["beaten_by"]
    parts = [BASELINES, table(("answers", *names), rows)]
    parts.append(f"Ours is beaten on sources: {_lost(lost, 'by_source')}.")
    parts.append(f"On families: {_lost(lost, 'by_family')}.")
    return "\n\n".join(parts)


def precision(found: Found) -> str:
    """Agreement of the two graphs."""
    p = found["int8_fp32"]
    return table(("decision", "alike"), p["alike"].items()) + (
        f"\n\nOn {p['answers']:,} answers and {p['requests']:,} requests; probabilities of behaviour differ by "
        f"{p['mean_probability_gap']:.4f} on average and {p['largest_probability_gap']:.3f} at most."
    )


def model_swap(found: Found) -> str:
    """Aligned families after one another."""
    s = found["model_swap"]
    rows = (
        (
            p["source"],
            p["before"],
            p["after"],
            p["labelled"][0],
            p["labelled"][1],
            p["read"][0],
            p["read"][1],
            p["pages"],
            p["pages_on_labels"],
        )
        for p in s["pairs"]
        if p["pages"] != "none" or p["pages_on_labels"] != "none"
    )
    head = SWAP.format(how=s["how"], count=len(s["pairs"]), **{k: s[k] for k in ("quiet", "justified", "unjustified")})
    headers = ("source", "before", "after", "complied", "then", "read as", "then", "pages", "on true labels")
    parts = [head, table(headers, rows)]
    if s.get("readings"):
        parts.append(_readings(s["readings"]))
    return "\n\n".join(parts)


def _readings(read: dict[str, dict[str, list[float]]]) -> str:
    """One row a family, one column an action: mean compliance as read, and of how many."""
    actions = sorted({action for of_family in read.values() for action in of_family})

    def shown(of_family: dict[str, list[float]], action: str) -> str:
        return f"{of_family[action][0]:.2f} of {of_family[action][1]:.0f}" if action in of_family else "–"

    rows = ((family, *(shown(found, action) for action in actions)) for family, found in read.items())
    return f"{READINGS}\n\n{table(('family', *actions), rows)}"


def unlabelable(found: Found) -> str:
    """Counts by reason."""
    u = found["unlabelable"]
    reasons = sorted({*u["requests"], *u["answers"]})
    return table(
        ("dev texts", *reasons), ((side, *(u[side].get(r, 0) for r in reasons)) for side in ("requests", "answers"))
    )


def speed(found: Found) -> str:
    """What `measure_speed` found."""
    s = found["speed"]
    rows = [
        (k.replace("_", " "), v if isinstance(v, int) else f"{v:,.3g}" if v < 100 else f"{v:,.0f}")
        for k, v in s.items()
        if k != "machine"
    ]
    return f"{SPEED.format(s['machine'])}\n\n" + table(("measure", "value"), rows)


def weak_points(found: Found) -> Iterator[str]:
    """Groups that fall short, found from the figures."""
    for name, s in (_at(found, ("answers", "by_family")) or {}).items():
        if s["f1"] is not None and s["f1"] < WEAK_FAMILY:
            yield f"Family {name}: refusal F1 {s['f1']:.3f} ({s['refused']} refused, {s['complied']} complied)."
    for name, s in (_at(found, ("adversarial", "by_kind")) or {}).items():
        if s["decision"] is not None and s["decision"] < WEAK_KIND:
            kind = name.replace("_", " ")
            yield f"Adversarial cases, {kind}: {s['decision']:.0%} of {s['n']} decided rightly."
    for name, score in (_at(found, ("requests", "category_f1")) or {}).items():
        if score is not None and score < WEAK_CATEGORY:
            yield f"Category {name}: F1 {score:.3f}."
