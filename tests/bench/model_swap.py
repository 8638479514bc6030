"""Swaps one aligned model family for another on dev and says which swaps page, and whether they should.

    python tests/bench/model_swap.py [--artefact FOLDER] [--write]

Needs the labelled pairs, and says so where they are absent. `--write` puts the outcome into the artefact's card.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support")]

from family_swaps import items, readings, summary, swaps  # noqa: E402 - found on the path set above

from classifiers import load_card, load_classifier, load_rates  # noqa: E402
from classifiers.card import CARD, SHIPPED  # noqa: E402
from classifiers.training.markdown import write_markdown  # noqa: E402
from classifiers.training.rows import data_folder, have_data  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--artefact", type=Path, default=SHIPPED)
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args()
    if not have_data():
        print(f"model swap: needs the labelled pairs; there are none in {data_folder()}")
        return
    classifier = load_classifier(given.artefact, threads=2)
    labelled = items(classifier)
    found = swaps(classifier, labelled)
    for one in found:
        print(
            f"{one.source:34s} {one.before[:28]:28s} -> {one.after[:28]:28s} "
            f"labelled {one.labelled[0]:.3f} -> {one.labelled[1]:.3f}  read {one.read[0]:.3f} -> {one.read[1]:.3f}  "
            f"{one.pages} | on labels: {one.pages_on_labels}"
        )
    section = summary(found, readings(labelled, classifier.card.thresholds.harm))
    print({key: section[key] for key in ("quiet", "justified", "unjustified")})
    if given.write:
        card = load_card(given.artefact)
        text = json.loads(card.model_dump_json())
        text["evaluation"]["model_swap"] = section
        (given.artefact / CARD).write_text(json.dumps(text, indent=1, ensure_ascii=False) + "\n", "utf-8")
        write_markdown(given.artefact, load_card(given.artefact), load_rates(given.artefact))


if __name__ == "__main__":
    main()
