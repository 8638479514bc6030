"""Every command runs in a folder of its own, without settings from outside, and with a classifier that remembers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_world import World, make_world, quick_classifier


@pytest.fixture(autouse=True)
def _quick_and_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ALIGNWATCH_CONFIG", raising=False)
    with quick_classifier():
        yield


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Made once."""
    return make_world(tmp_path_factory.mktemp("world"))
