"""The HTTP face of the service: probes, metrics, status as JSON, and the status page."""

from __future__ import annotations

from monitor.http._app import LOOPBACK_HOSTS, ServiceView, create_app
from monitor.http._server import HttpServer, HttpServerError

__all__ = ["LOOPBACK_HOSTS", "HttpServer", "HttpServerError", "ServiceView", "create_app"]
