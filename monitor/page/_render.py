"""Fills the templates; every value is escaped, and control characters of hostile names become blanks."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from alignwatch import __version__
from monitor.page._view import Links, view
from monitor.plots import clean
from monitor.service_status import ServiceStatus
from monitor.words import age, between, clock, moment, percent, plural, short_digest, span

TEMPLATES: Final = Path(__file__).parent / "templates"


def render(status: ServiceStatus, name: str | None = None, links: Links = lambda _: ()) -> str:
    """The page as HTML; the same status gives the same bytes.

    Args:
        status: what is shown.
        name: the deployment whose page is asked for; None for the first page, which shows the one that needs a person
            first, and the list of all.
        links: where a responder is sent for an incident.
    """
    return _PAGE.render(view=view(status, name, links))


def knows(status: ServiceStatus, name: str) -> bool:
    """Whether there is a deployment of that name."""
    return any(one.name == name for one in status.deployments)


def _finalize(value: Any) -> Any:
    if isinstance(value, str) and not isinstance(value, Markup):
        return clean(value)
    return "" if value is None else value


def _environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
        finalize=_finalize,
    )
    made.filters |= {
        "age": age, "between": between, "moment": moment, "percent": percent, "plural": plural, "span": span,
        "digest": short_digest, "clock": clock, "query": lambda name: quote(name, safe="", errors="replace"),
    }  # fmt: skip
    made.globals["version"] = __version__
    return made


_PAGE: Final = _environment().get_template("page.html")
