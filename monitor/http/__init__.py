"""The HTTP face of the service: probes, metrics, status as JSON, the status page, and the door for traffic."""

from __future__ import annotations

from monitor.http._app import LOOPBACK_HOSTS, ServiceView, create_app
from monitor.http._door import Door
from monitor.http._server import HttpServer, HttpServerError

__all__ = ["LOOPBACK_HOSTS", "Door", "HttpServer", "HttpServerError", "ServiceView", "create_app"]
