"""Routes of the HTTP face; without a door it only reads, and it needs nothing from any other server.

    GET /livez     200 while the process can make progress, 503 with the reason otherwise
    GET /readyz    200 while it takes traffic, 503 with the reason otherwise
    GET /metrics   Prometheus text format, OpenMetrics where `Accept` asks for it
    GET /status    ServiceStatus as JSON; `?panes=NAME` keeps the chart points of the named deployments alone
    GET /          the status page, complete as it comes: its script only keeps it fresh
    GET /deployment?name=NAME  the same about one deployment
    GET /static/   style, script and icons of the page

With a door (`_door`) gateways deliver traffic here too. No page, metric or status holds the text of a prompt or an
answer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Protocol

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from monitor.http._door import Door, door_routes
from monitor.http._headers import SecurityHeaders
from monitor.metrics import Metrics
from monitor.page import Links, knows, render
from monitor.service_status import ServiceStatus

LOOPBACK_HOSTS: Final = ("localhost", "127.0.0.1", "::1", "[::1]")
"""`Host` headers to expect when only this machine can connect: a foreign name there is DNS rebinding."""
STATIC: Final = Path(__file__).parent / "static"
_NO_STORE: Final = {"cache-control": "no-store"}


class ServiceView(Protocol):
    """What the HTTP face asks of the service. Called from the server's threads; must not block for long."""

    def live(self) -> tuple[bool, str]:
        """Whether a restart would not help, and a short reason."""

    def ready(self) -> tuple[bool, str]:
        """Whether traffic is being taken, and a short reason."""

    def status(self) -> ServiceStatus:
        """Everything that `/status` says."""


def create_app(
    view: ServiceView,
    metrics: Metrics,
    *,
    allowed_hosts: Sequence[str] | None = None,
    door: Door | None = None,
    links: Links = lambda _: (),
) -> Starlette:
    """The ASGI application; `metrics` takes its gauges from `view` from here on.

    Args:
        view: the service to show.
        metrics: served at `/metrics`.
        allowed_hosts: `Host` headers that are answered, others get 400; None answers all. Pass LOOPBACK_HOSTS where
            the server listens on loopback.
        door: takes traffic in; None where it comes another way.
        links: where the page sends a responder for an incident.
    """
    metrics.watch(view.status)
    middleware = [Middleware(SecurityHeaders), Middleware(GZipMiddleware, minimum_size=2048, compresslevel=4)]
    if allowed_hosts is not None:
        middleware.insert(1, Middleware(TrustedHostMiddleware, allowed_hosts=list(allowed_hosts), www_redirect=False))
    return Starlette(
        routes=[
            Route("/livez", _probe(view.live)),
            Route("/readyz", _probe(view.ready)),
            Route("/metrics", _metrics(metrics)),
            Route("/status", _status(view)),
            Route("/", _page(view, links)),
            Route("/deployment", _deployment(view, links)),
            Mount("/static", StaticFiles(directory=STATIC, packages=[("monitor.plots", "static")])),
            *(door_routes(door, metrics) if door is not None else ()),
        ],
        middleware=middleware,
    )


# Plain functions, not coroutines: Starlette runs them in worker threads, so that a view which waits for a lock never
# holds up the probes.
Endpoint = Callable[[Request], Response]


def _probe(check: Callable[[], tuple[bool, str]]) -> Endpoint:
    def probe(_: Request) -> Response:
        fine, reason = check()
        return PlainTextResponse(f"{reason or ('ok' if fine else 'not ok')}\n", 200 if fine else 503, _NO_STORE)

    return probe


def _metrics(metrics: Metrics) -> Endpoint:
    def expose(request: Request) -> Response:
        text, content_type = metrics.exposition(request.headers.get("accept", ""))
        return Response(text, headers={"content-type": content_type, **_NO_STORE, "vary": "Accept"})

    return expose


def _status(view: ServiceView) -> Endpoint:
    def status(request: Request) -> Response:
        now = view.status()
        if "panes" in request.query_params:
            now = now.with_panes_of(frozenset(request.query_params.getlist("panes")))
        return Response(now.to_json(), media_type="application/json", headers=_NO_STORE)

    return status


def _page(view: ServiceView, links: Links) -> Endpoint:
    def page(_: Request) -> Response:
        return HTMLResponse(render(view.status(), None, links), headers=_NO_STORE)

    return page


def _deployment(view: ServiceView, links: Links) -> Endpoint:
    def page(request: Request) -> Response:
        # In the query, as a name may hold slashes and dots, which paths are normalised by.
        name, now = request.query_params.get("name", ""), view.status()
        return HTMLResponse(render(now, name, links), 200 if knows(now, name) else 404, headers=_NO_STORE)

    return page
