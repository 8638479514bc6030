"""What can go wrong with a classifier artefact, each error naming the file and what was expected."""

from __future__ import annotations

from pathlib import Path

from alignwatch import AlignwatchError


class ClassifierError(AlignwatchError):
    """Root of the errors of this package."""


class ArtefactMissing(ClassifierError):  # noqa: N818 - says what is wrong, as FileNotFound would
    """A file of the artefact is not there or cannot be read."""

    def __init__(self, path: Path, why: str = "no such file") -> None:
        self.path = path
        super().__init__(
            f"classifier artefact: {path}: {why}; an artefact folder holds card.json and the files it names"
        )


class ArtefactInvalid(ClassifierError):  # noqa: N818 - says what is wrong, as FileNotFound would
    """A file of the artefact is there but does not say what it must."""

    def __init__(self, path: Path, why: str) -> None:
        self.path = path
        super().__init__(f"classifier artefact: {path}: {why}")


class DigestMismatch(ClassifierError):  # noqa: N818 - says what is wrong, as FileNotFound would
    """A file is not the one that the card was written for."""

    def __init__(self, path: Path, expected: str, actual: str) -> None:
        self.path = path
        self.expected = expected
        self.actual = actual
        super().__init__(
            f"classifier artefact: {path}: digest is {actual}, the card says {expected}; labels would not be comparable"
        )
