"""The shipped artefact, loaded once."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from classifiers import Card, Classifier, Screen, load_card, load_classifier, load_screen
from classifiers.card import SHIPPED


@pytest.fixture(scope="session")
def classifier() -> Classifier:
    return load_classifier(threads=1)


@pytest.fixture(scope="session")
def card() -> Card:
    return load_card()


@pytest.fixture(scope="session")
def screen() -> Screen:
    return load_screen()


@pytest.fixture
def artefact(tmp_path: Path) -> Path:
    """A copy of the shipped artefact whose files a test may spoil."""
    folder = tmp_path / "artefact"
    shutil.copytree(SHIPPED, folder)
    return folder
