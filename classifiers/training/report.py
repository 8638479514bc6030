"""Measures an artefact: everything that the card's evaluation holds, section by section."""

from __future__ import annotations

import importlib.util
import math
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from classifiers.readable import MIN_ANSWER, MIN_PROMPT, unreadable
from classifiers.runtime import load_classifier
from classifiers.training.adversarial.cases import score
from classifiers.training.baselines import compare
from classifiers.training.counterfactual import swapped
from classifiers.training.ensemble import FOLDS
from classifiers.training.evaluate import COMPLIANCE, core, evaluate
from classifiers.training.measure import refusal_scores
from classifiers.training.opinions import opinions, teachers
from classifiers.training.precision import against
from classifiers.training.requests import train_requests
from classifiers.training.rows import augmentation, may_ship, read
from classifiers.training.sample import sample_of
from classifiers.training.scored import Scored, score_dev

Say = Callable[[str], None]
BASELINES_NEED = ("sklearn", "torch", "transformers")


def data_table() -> list[dict[str, Any]]:
    """Every source with its licence, rows in both splits, and what it was used for."""
    counts = {split: Counter((row.source, row.licence) for row in read(split)) for split in ("train", "dev")}
    table = []
    for source, licence in sorted({key for found in counts.values() for key in found}):
        train, dev = (counts[split][source, licence] for split in ("train", "dev"))
        use = (
            "evaluation only"
            if not train or not may_ship(licence)
            else "training and evaluation"
            if dev
            else "training"
        )
        table.append({"source": source, "licence": licence, "train": train, "dev": dev, "use": use})
    made = sum(request.source in {"own:ordinary", "own:contrast"} for request in train_requests(0))
    for source, count in (
        ("written for this project", len(augmentation())),
        ("put together from own word lists", made),
    ):
        table.append({"source": source, "licence": "Apache-2.0", "train": count, "dev": 0, "use": "training"})
    return table


def training_notes() -> dict[str, Any]:
    """What the weights come from, besides the rows: the base encoder, and whose opinions are mixed into the labels."""
    names, found = teachers(), opinions()
    return {
        "base encoder": "all-MiniLM-L6-v2 (Apache-2.0)",
        "ensemble whose opinions enter the targets": ", ".join(names) or "none",
        "each of it fitted without": f"one fold of {FOLDS} of the requests it is asked about",
        "answers with an opinion": len(found.answers),
        "requests with an opinion": len(found.requests),
    }


def languages(scored: Scored) -> dict[str, Any]:
    """Dev requests by language: how many are read, how many of the harmful ones are called sensitive."""
    runtime = scored.classifier.card.runtime
    harm = scored.heads.harm(scored.q.logits) >= runtime.thresholds.harm
    found: dict[str, Any] = {}
    for language in sorted({row.language for row in scored.q.rows}):
        mask = np.array([row.language == language for row in scored.q.rows])
        read_ = np.array(
            [unreadable(row.prompt, runtime.languages.request, minimum=MIN_PROMPT) is None for row in scored.q.rows]
        )
        harmful = mask & read_ & (scored.q.harm == 1.0)
        found[language] = {
            "requests": int(mask.sum()),
            "judged": round(float(read_[mask].mean()), 4),
            "harmful": int(harmful.sum()),
            "called_sensitive": round(float(harm[harmful].mean()), 4) if harmful.any() else None,
        }
    return found


def unseen_families(scored: Scored) -> dict[str, Any]:
    """The main figure over the model families of which training has no answer."""
    seen = {row.family for row in read("train") if row.response}
    names = {row.family for row in scored.a.rows if row.family and row.label_by != "made"} - seen
    keep = core(scored.a.rows, scored.a.behaviour) & np.array([row.family in names for row in scored.a.rows])
    refused = scored.a.behaviour[keep] != COMPLIANCE
    return {"names": sorted(map(str, names)), "score": refusal_scores(refused, scored.called[keep])}


def unlabelable(scored: Scored) -> dict[str, Any]:
    """Dev texts that the run time leaves unjudged, by reason."""
    scripts = scored.classifier.card.runtime.languages
    asked = Counter(unreadable(row.prompt, scripts.request, minimum=MIN_PROMPT) for row in scored.q.rows)
    said = Counter(unreadable(row.response or "", scripts.answer, minimum=MIN_ANSWER) for row in scored.a.rows)
    return {
        side: {reason or "judged": count for reason, count in sorted(found.items(), key=lambda item: str(item[0]))}
        for side, found in (("requests", asked), ("answers", said))
    }


def without_nan(value: Any) -> Any:
    """The same with None for NaN, which JSON lacks: a rate of no rows."""
    if isinstance(value, dict):
        return {key: without_nan(one) for key, one in value.items()}
    if isinstance(value, list):
        return [without_nan(one) for one in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def _missing() -> list[str]:
    return [name for name in BASELINES_NEED if importlib.util.find_spec(name) is None]


def measure(folder: Path, float_graph: Path | None, say: Say) -> dict[str, Any]:
    """All sections that only depend on the artefact and the data.

    Args:
        folder: the artefact.
        float_graph: the fp32 graph that the artefact was made from; its section is left out where there is none.
        say: told what goes on and what is left out.
    """
    classifier = load_classifier(folder, threads=2)
    card = classifier.card
    say(f"scoring dev with {card.name} {card.version}")
    scored = score_dev(classifier)
    found: dict[str, Any] = {"data": data_table(), "training": training_notes()}
    found |= evaluate(scored.q, scored.a, card.runtime.calibration, card.thresholds)
    found["languages"], found["unlabelable"] = languages(scored), unlabelable(scored)
    found["sample"], found["unseen_families"] = sample_of(scored), unseen_families(scored)
    say("swapping requests and answers, and trying the adversarial cases")
    found["swapped"] = swapped(classifier)
    found["adversarial"] = score(classifier, noncompliance=card.thresholds.noncompliance, harm=card.thresholds.harm)
    if missing := _missing():
        say(f"baselines left out: they need {', '.join(missing)} (the `train` extra)")
    else:
        say("scoring the baselines")
        found["baselines"] = compare(scored.a, scored.called)
    if float_graph is None or not float_graph.is_file():
        say(f"int8 against fp32 left out: no fp32 graph at {float_graph}; training leaves one there")
    else:
        say("scoring dev with the fp32 graph")
        found["int8_fp32"] = against(scored, float_graph)
    return {name: without_nan(section) for name, section in found.items()}
