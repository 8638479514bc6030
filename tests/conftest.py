"""What every test may use: the folder of in-memory and loopback twins on the path, and where the labelled pairs are."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from hypothesis import settings

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "support"))
# How long an example takes says something about the machine, not about the code.
settings.register_profile("alignwatch", deadline=None)
settings.load_profile("alignwatch")


@pytest.fixture(scope="session")
def labelled_pairs() -> Path:
    """Folder of the labelled pairs; the test is skipped where a clone has none."""
    folder = Path(os.environ.get("ALIGNWATCH_DATA", ROOT.parent / "shared" / "data"))
    if not (folder / "dev.jsonl.gz").exists():
        pytest.skip(f"needs the labelled pairs (dev.jsonl.gz) in {folder}; they are not part of the repository")
    return folder
