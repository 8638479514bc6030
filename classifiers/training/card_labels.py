"""Sections of the card about labels: data, refusal, harm, requests, calibration, rates, screen."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from classifiers.card import Card, Rates
from classifiers.heads import BEHAVIOURS
from classifiers.training.plot import PLOT
from classifiers.training.tables import Found, scores_table, table

REFUSAL = """\
Refusal or partial against compliance. Human labels are Do-Not-Answer's `refusal` against `compliance` and
GPTFuzz (whose authors admit noise); the others are judged by a rule or a model, but for hh-rlhf, whose source says
nothing: two readers of ours agreed on its answers, the request before them. False alarms: share of complying answers
called refused. CoCoNot states behaviours by construction, and most of what it pairs as refusals did
what was asked; the judge of erikl2/safety-refusal-stability counts a disclaimer as holding back. These answers were
read anew against the definitions. Below the first table: the same by what the sources state, and how what was read
scores by it."""
MACRO = """\
Category macro-F1: **{:.3f}** on sources that training knows, {:.3f} with Do-Not-Answer, which it does not."""
CALIBRATION = """\
Expected calibration error (15 bins), cross-fitted: maps are fitted on four fifths of dev and applied to the other
fifth, and the error is taken over all rows so predicted. The shipped maps are fitted on all of the dev rows that
may choose what ships. Maps that are exactly right would show an error too, for the chance in so many rows: its mean
and its 95th percentile stand beside."""
HARM = """\
`unaligned`: all answers of models whose refusal direction was ablated; then those to harmful requests alone; then
their harmful answers against the same families' answers to benign requests. What is judged is the probability that
an answer does at least part of what was asked and that what it gives is harmful: the harm head's probability times
that of partial or compliance, then calibrated."""
RATES = """\
Share of complying answers read as complying (true positives) and of refused or partial ones read as complying
(false positives), with 95 % Clopper-Pearson limits, as the detectors read them from `rates.json`."""


def data(found: Found) -> str:
    """Sources, licences, rows."""
    rows = ((d["source"], d["licence"], d["train"], d["dev"], d["use"]) for d in found["data"])
    return (
        "Rows with a non-commercial licence are for evaluation only: neither weights nor calibration nor thresholds "
        "come from them. Dev shares no prompt with what the request head was trained on.\n\n"
        + table(("source", "licence", "train", "dev", "use"), rows)
    )


def refusal(found: Found) -> str:
    """Refusal or partial against compliance, in every cut."""
    answers = found["answers"]
    parts = [
        REFUSAL,
        scores_table({"all": answers["overall"], **answers["by_origin"]}, "label origin"),
        scores_table({f"{name}, as stated": one for name, one in answers["as_stated"].items()}, "label origin"),
    ]
    for key, what in (
        ("by_source", "source"),
        ("by_family", "model family (20 answers or more)"),
        ("by_state", "state of the model"),
        ("by_category", "request category"),
        ("by_length", "length of the answer"),
    ):
        parts.append(scores_table(answers[key], what))
    if unseen := found.get("unseen_families"):
        names = ", ".join(unseen["names"])
        parts.append(f"Over the {len(unseen['names'])} families of which training has no answer ({names}):")
        parts.append(scores_table({"all of them": unseen["score"]}, "families"))
    actions = answers["do_not_answer_actions"]
    parts.append("Do-Not-Answer's other actions: share that is read as not complying.")
    parts.append(
        table(
            ("action", "not complying", "answers"), ((k, v["noncompliant"], v["n"]) for k, v in actions["all"].items())
        )
    )
    parts.append(
        table(
            ("rebuttals by", "not complying", "answers"),
            ((k, v["noncompliant"], v["n"]) for k, v in actions["rebuttal_by_model"].items()),
        )
    )
    return "\n\n".join(parts)


def confusion(found: Found) -> str:
    """Four by four."""
    rows = ((truth, *(found["confusion"][truth][name] for name in BEHAVIOURS)) for truth in BEHAVIOURS)
    return (
        "Rows: labelled; columns: most probable behaviour. Degenerate answers are made, no source labels any.\n\n"
        + table(("", *BEHAVIOURS), rows)
    )


def harm(found: Found) -> str:
    """Harm of answers."""
    measured = found["response_harm"]
    rows = [(name.replace("_", " "), score) for name, score in measured.items() if name != "by_source"]
    rows += list(measured["by_source"].items())
    cells = ((name, _nan(s["auc"]), s["harmful"], s["harmless"]) for name, s in rows)
    return f"{HARM}\n\n{table(('answers', 'AUC', 'harmful', 'harmless'), cells)}"


def _nan(value: float | None) -> float | None:
    return None if value is None or value != value else value  # noqa: PLR0124 - NaN alone differs from itself


def requests(found: Found) -> str:
    """Harm and category of requests, by source and language."""
    q = found["requests"]
    parts = [
        table(
            ("harmful against", "AUC"),
            (
                ("ordinary benign requests", q["auc_ordinary"]),
                ("benign look-alikes (all mild harmful ones against CoCoNot's contrast set)", q["auc_look_alikes"]),
                ("benign look-alikes, CoCoNot alone", q["auc_look_alikes_within_coconut"]),
                ("all benign requests", q["auc_all"]),
            ),
        ),
        MACRO.format(q["category_macro_f1"], q["category_macro_f1_with_do_not_answer"]),
        table(("category", "F1"), q["category_f1"].items()),
        "Called sensitive, by source:",
        table(
            ("source", "harmful", "of", "benign", "of"),
            (
                (s, *_pair(q["sensitive_harmful"].get(s)), *_pair(q["sensitive_benign"].get(s)))
                for s in sorted({*q["sensitive_harmful"], *q["sensitive_benign"]})
            ),
        ),
    ]
    spoken = found.get("languages", {})
    parts.append(
        table(
            ("language", "requests", "judged", "harmful ones called sensitive", "category right"),
            (
                (
                    k,
                    v["requests"],
                    v["judged"],
                    v["called_sensitive"],
                    q["category_accuracy_by_language"].get(k, {}).get("accuracy"),
                )
                for k, v in spoken.items()
            ),
        )
    )
    return "\n\n".join(parts)


def _pair(share: Found | None) -> tuple[object, object]:
    return (None, None) if share is None or not share["n"] else (share["sensitive"], share["n"])


def _errors(found: Found) -> Iterator[tuple[object, ...]]:
    for head, error in found["calibration"]["ece"].items():
        chance = found["calibration"]["if_perfect"][head]
        yield head.replace("_", " "), error, chance["mean"], chance["high"], chance["n"]


def calibration(found: Found, card: Card) -> str:
    """Plot, errors, thresholds."""
    t = card.thresholds
    return "\n\n".join(
        (
            f"![Reliability of the four heads]({PLOT})",
            CALIBRATION,
            table(("head", "error", "of perfect maps, mean", "of perfect maps, 95 %", "rows"), _errors(found)),
            table(
                ("threshold", "value", "meaning"),
                (
                    ("harm", t.harm, "a request is sensitive from here on"),
                    ("answer_pass", t.answer_pass, "below, the answer is read at the sampling rate alone"),
                    (
                        "noncompliance",
                        t.noncompliance,
                        "an answer counts as refused from this probability of not complying on",
                    ),
                    ("response_harm", t.response_harm, "an answer counts as harmful from here on"),
                ),
            ),
        )
    )


def rates(measured: Rates) -> str:
    """Error rates by family."""

    def row(name: str, r: Any) -> tuple[object, ...]:
        return (
            name,
            r.tpr,
            f"{r.tpr_low:.2f} to {r.tpr_high:.2f}",
            r.n_pos,
            r.fpr,
            f"{r.fpr_low:.2f} to {r.fpr_high:.2f}",
            r.n_neg,
        )

    return f"{RATES}\n\n" + table(
        ("family", "true positives", "95 %", "of", "false positives", "95 %", "of"),
        [row("all", measured.overall), *(row(name, r) for name, r in measured.families.items())],
    )


def screen(found: Found) -> str:
    """What the screen passes on."""
    measured = found["screen"]
    hits = measured.get("hits", {})
    return f"AUC {measured.get('auc', float('nan')):.3f}. Share of prompts that it passes on:\n\n" + table(
        ("prompts", "passed on", "of"), ((k, v["share"], v["n"]) for k, v in hits.items())
    )
