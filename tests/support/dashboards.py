"""The committed Grafana dashboards, read for tests."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from prometheus_files import DEPLOY

FOLDER = DEPLOY / "grafana" / "dashboards"
QUIET = "Empty while all is well."
METRIC = re.compile(
    r"[a-z_]+:alignwatch_[a-z0-9_:]+|(?<![\w:])(?:alignwatch|process)_[a-z0-9_]+|\bup\b(?=\{)|\bALERTS\b"
)


@dataclass(frozen=True)
class Panel:
    """A panel of a dashboard."""

    dashboard: str
    body: dict[str, Any]

    @property
    def name(self) -> str:
        return f"{self.dashboard}: {self.body['title']}"

    @property
    def description(self) -> str:
        return self.body.get("description", "")

    @property
    def queries(self) -> list[str]:
        return [target["expr"] for target in self.body["targets"]]

    @property
    def may_be_empty(self) -> bool:
        return QUIET in self.description


def dashboards() -> dict[str, dict[str, Any]]:
    """By uid."""
    return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(FOLDER.glob("*.json"))}


def panels() -> Iterator[Panel]:
    """Every panel that asks something."""
    for uid, dashboard in dashboards().items():
        for body in dashboard["panels"]:
            inner = [*body.get("panels", ()), body]
            yield from (Panel(uid, one) for one in inner if one["type"] != "row")


def metrics_of(expr: str) -> set[str]:
    """Names of the metrics in a query."""
    return set(METRIC.findall(expr))


def filled(expr: str, *, job: str = "alignwatch", deployment: str = ".*") -> str:
    """The query as Grafana would send it."""
    for name, value in {"job": job, "deployment": deployment, "__rate_interval": "1m"}.items():
        expr = expr.replace(f"${name}", value)
    return expr
