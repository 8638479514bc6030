"""Speed and memory of the classifier: our run time against the bare ONNX session on the same token batches.

    python tests/bench/classifier.py [--pairs N] [--json]

Ratios come from alternating rounds of one process, so that other load on the machine meets both sides alike. Pairs are
those of the labelled set where it is at hand, and our own texts elsewhere.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from classifiers.card import SHIPPED  # noqa: E402 - found on the path set above
from classifiers.training.rows import have_data  # noqa: E402
from classifiers.training.speed import measure_speed  # noqa: E402

TARGETS = {
    "of_bare_session": ("at least", 0.9),
    "screen_prompts_per_second": ("at least", 20_000),
    "resident_mb": ("at most", 350),
    "load_seconds": ("at most", 3),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--artefact", type=Path, default=SHIPPED)
    parser.add_argument("--pairs", type=int, default=384)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    found = measure_speed(given.artefact, given.pairs)
    if given.json:
        print(json.dumps(found))
        return 0
    print(f"classifier on {found['machine']}; pairs: {'labelled set' if have_data() else 'our own texts'}")
    missed = 0
    for name, value in found.items():
        if name == "machine":
            continue
        how, limit = TARGETS.get(name, ("", None))
        met = limit is None or (value >= limit if how == "at least" else value <= limit)
        missed += not met
        print(
            f"  {name.replace('_', ' '):32s} {value:>12,.6g}  {f'{how} {limit:,g}' if limit else '':16s} {'' if met else 'MISSED'}"
        )
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())
