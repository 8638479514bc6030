"""What the package offers: these names, typed, and nothing of monitor or alerts behind them."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path

import classifiers
from alignwatch import AlignwatchError

FOLDER = Path(classifiers.__file__).parent
NAMES = {
    "UNLABELABLE", "ArtefactInvalid", "ArtefactMissing", "Card", "Classifier", "ClassifierError", "DigestMismatch",
    "FamilyRates", "Labeller", "Pair", "PairLabels", "Rates", "ReadAnswer", "Screen", "Thresholds", "Unlabelable",
    "load_card", "load_classifier", "load_rates", "load_screen",
}  # fmt: skip


def test_the_exported_names_are_these():
    assert set(classifiers.__all__) == NAMES
    for name in NAMES:
        assert hasattr(classifiers, name)


def test_every_exported_class_and_function_says_what_it_means():
    for name in sorted(NAMES):
        thing = getattr(classifiers, name)
        if inspect.isclass(thing) or inspect.isfunction(thing):
            assert (thing.__doc__ or "").strip(), name


def test_errors_are_one_family_of_the_projects():
    assert issubclass(classifiers.ClassifierError, AlignwatchError)
    for error in (classifiers.ArtefactInvalid, classifiers.ArtefactMissing, classifiers.DigestMismatch):
        assert issubclass(error, classifiers.ClassifierError)


def test_the_package_imports_neither_monitor_nor_alerts_and_its_run_time_no_training_code():
    for path in FOLDER.rglob("*.py"):
        imported = set()
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                imported |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                imported.add(node.module or "")
        assert not {name for name in imported if name.split(".")[0] in {"monitor", "alerts"}}, path.name
        if path.parent == FOLDER:
            assert not {name for name in imported if name.startswith("classifiers.training")}, path.name


def test_the_package_is_typed_and_carries_its_artefact():
    assert (FOLDER / "py.typed").is_file()
    shipped = {path.name for path in (FOLDER / "artefacts" / "default").iterdir()}
    assert {"card.json", "model.onnx", "rates.json", "screen.npz", "tokenizer.json"} <= shipped
