"""What every test may use: the folder of in-memory and loopback twins on the path, and where the labelled pairs are."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "support"))

from lanes import scheduler, sort_for_workers  # noqa: E402 - after the path

# How long an example takes says something about the machine, not about the code.
settings.register_profile("alignwatch", deadline=None)
settings.load_profile("alignwatch")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """On a worker of pytest-xdist the slow lane first; alone, as collected."""
    if hasattr(config, "workerinput"):
        sort_for_workers(items)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """`--dist loadfile` means lanes here: see lanes.py."""
    return scheduler(config, log) if config.getvalue("dist") == "loadfile" else None


@pytest.fixture(scope="session")
def labelled_pairs() -> Path:
    """Folder of the labelled pairs; the test is skipped where a clone has none."""
    folder = Path(os.environ.get("ALIGNWATCH_DATA", ROOT.parent / "shared" / "data"))
    if not (folder / "dev.jsonl.gz").exists():
        pytest.skip(f"needs the labelled pairs (dev.jsonl.gz) in {folder}; they are not part of the repository")
    return folder
