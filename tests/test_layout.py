"""How the tree hangs together: who imports whom, what is exported, and what must not be in it."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from lanes import BROKERS, lane_of

from monitor.cli._main import COMMANDS

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("monitor", "classifiers", "alerts")
PRODUCT = [
    *sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py") if "training" not in path.parts),
    ROOT / "alignwatch.py",
]
ALLOWED = {
    "alignwatch": set(),
    "classifiers": {"alignwatch"},
    "alerts": {"alignwatch"},
    "monitor": {"alignwatch", "classifiers", "alerts"},
}
"""The import direction `classifiers <- monitor -> alerts`; all may import the shared records."""
OURS = set(ALLOWED)
PROMISED_COMMANDS = {
    "run", "demo", "replay", "classify", "detect", "baseline", "simulate", "doctor", "config", "inspect-envelope",
    "alert", "schema",
}  # fmt: skip
DISTRIBUTIONS = {"kafka": "kafka-python", "opentelemetry": "opentelemetry-proto", "google": "opentelemetry-proto"}
"""Distributions of another name than their modules; protobuf's runtime comes with the messages generated for it."""
MAX_LINES = 340


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def imported(path: Path) -> Iterator[tuple[int, str]]:
    """Line and dotted name of every import of a module, those inside functions included."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name_of(path)}:{node.lineno}: a relative import hides its direction"
            yield node.lineno, node.module or ""


@pytest.mark.parametrize("path", PRODUCT, ids=name_of)
def test_imports_point_the_stated_way(path: Path) -> None:
    package = path.relative_to(ROOT).parts[0].removesuffix(".py")
    for line, name in imported(path):
        other = name.split(".")[0]
        assert other not in OURS - {package} or other in ALLOWED[package], f"{name_of(path)}:{line}: imports {name}"
        assert not name.startswith("classifiers.training"), f"{name_of(path)}:{line}: training is not for the run time"
        assert other != "tests"


def declared() -> set[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return {re.split(r"[\[<>=~! ]", one)[0].lower().replace("-", "_") for one in project["dependencies"]}


@pytest.mark.parametrize("path", PRODUCT, ids=name_of)
def test_everything_imported_at_run_time_is_a_declared_dependency(path: Path) -> None:
    known = declared() | OURS | set(sys.stdlib_module_names)
    for line, name in imported(path):
        top = name.split(".")[0]
        wanted = DISTRIBUTIONS.get(top, top).replace("-", "_")
        assert wanted in known, f"{name_of(path)}:{line}: {name} is no dependency in pyproject.toml"


@pytest.mark.parametrize("path", PRODUCT, ids=name_of)
def test_every_module_says_what_it_is_for_and_has_one_purpose(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert ast.get_docstring(ast.parse(text)), name_of(path)
    assert len(text.splitlines()) <= MAX_LINES, name_of(path)


def module_names() -> list[str]:
    parts = (path.relative_to(ROOT).with_suffix("").parts for path in PRODUCT)
    return [".".join(one).removesuffix(".__init__") for one in parts]


@pytest.mark.parametrize("name", module_names())
def test_what_a_module_exports_is_there(name: str) -> None:
    module = importlib.import_module(name)
    exported = getattr(module, "__all__", None)
    if exported is None:
        return
    assert len(set(exported)) == len(exported)
    for member in exported:
        value = getattr(module, member)
        if callable(value) and str(getattr(value, "__module__", "")).split(".")[0] in OURS:
            assert value.__doc__, f"{name}.{member} has no docstring"


@pytest.mark.parametrize("path", PRODUCT, ids=name_of)
def test_private_modules_are_not_reached_from_another_package(path: Path) -> None:
    package = path.relative_to(ROOT).parts[0].removesuffix(".py")
    for line, name in imported(path):
        top, *rest = name.split(".")
        if top in OURS - {package}:
            assert not any(part.startswith("_") for part in rest), f"{name_of(path)}:{line}: {name} is private to {top}"


def test_every_promised_command_is_there() -> None:
    assert set(COMMANDS) >= PROMISED_COMMANDS
    for module, summary in COMMANDS.values():
        assert importlib.util.find_spec(module) is not None
        assert summary.endswith(".")


def test_names_of_test_modules_are_unique() -> None:
    # pytest imports them by their bare names: two of the same name could not be collected together.
    names = Counter(path.name for path in (ROOT / "tests").rglob("test_*.py"))
    assert [name for name, count in names.items() if count > 1] == []


def test_who_starts_brokers_is_in_their_lane() -> None:
    # Elsewhere a second worker would start a second broker for them.
    files = (ROOT / "tests" / "integration").glob("test_*.py")
    starting = [path for path in files if re.search("kafka_broker|KafkaBroker|FaultRun", path.read_text("utf-8"))]
    assert len(starting) > 5
    assert [name_of(path) for path in starting if lane_of(name_of(path)) != BROKERS] == []


def tracked() -> list[Path]:
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if done.returncode != 0:
        pytest.skip("needs the repository, this is a copy without its history")
    return [ROOT / name for name in done.stdout.decode().split("\0") if name]


def test_nothing_names_the_machine_that_it_was_written_on() -> None:
    places = {str(ROOT), sys.prefix, sys.base_prefix, f"{Path.home()}/"}
    hosts = re.compile(r"(?:index-url|trusted-host)|https?://[^\s\"'/]*(?:artifactory|nexus|devpi)", re.IGNORECASE)
    found = []
    for path in tracked():
        if not path.is_file() or path.suffix in {".onnx", ".npz", ".png"} or path == Path(__file__).resolve():
            continue
        text = path.read_text(encoding="utf-8", errors="replace")
        found += [f"{name_of(path)}: {place}" for place in places if len(place) > 2 and place in text]
        found += [f"{name_of(path)}: {match.group()}" for match in hosts.finditer(text)]
    assert found == []


def test_no_large_or_compiled_file_slipped_in() -> None:
    for path in tracked():
        assert path.suffix not in {".pyc", ".so", ".sqlite3", ".jar", ".safetensors", ".pt"}, name_of(path)
        if path.is_file() and path.suffix != ".onnx":
            assert path.stat().st_size < 2_000_000, name_of(path)
