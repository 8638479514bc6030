"""Runs an ASGI application in a thread of this process, with uvicorn."""

from __future__ import annotations

import socket
import threading
from typing import Final

import uvicorn
from starlette.types import ASGIApp

from monitor.errors import MonitorError

_START_SECONDS: Final = 10.0
_STOP_SECONDS: Final = 5


class HttpServerError(MonitorError):
    """The server can't listen or does not come up."""


class HttpServer:
    """An HTTP server on a thread.

    Args:
        app: what to serve.
        host: address to listen on; loopback by default, since status and metrics need no password.
        port: port to listen on; 0 takes a free one, `port` and `url` say which.
    """

    def __init__(self, app: ASGIApp, host: str = "127.0.0.1", port: int = 0) -> None:
        self.host = host
        self.port = port
        """The port listened on; once started with 0, the one that was free."""
        self._thread: threading.Thread | None = None
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            lifespan="off",
            server_header=False,
            ws="none",
            timeout_graceful_shutdown=_STOP_SECONDS,
        )
        self._server = uvicorn.Server(config)

    @property
    def url(self) -> str:
        """Where to reach it, without a slash at the end; a wildcard address is given as loopback."""
        host = {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "::1"}.get(self.host, self.host)  # noqa: S104
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"

    def start(self) -> None:
        """Listen and serve; returns once connections are answered.

        Raises:
            HttpServerError: the address is taken, not ours, or the server does not come up within ten seconds.
        """
        listener = self._listen()
        self.port = int(listener.getsockname()[1])
        # A signal handler can only be set in the main thread and belongs to the service: uvicorn skips it elsewhere.
        self._thread = threading.Thread(target=self._server.run, args=([listener],), name="http", daemon=True)
        self._thread.start()
        up = threading.Event()
        for _ in range(int(_START_SECONDS / 0.01)):
            if self._server.started:
                return
            if not self._thread.is_alive() or up.wait(0.01):
                break
        self.stop()
        raise HttpServerError(f"http: the server on {self.host}:{self.port} did not come up")

    def stop(self) -> None:
        """Finish open requests (at most five seconds), then close; a stopped server is not started again."""
        self._server.should_exit = True
        if self._thread is not None:
            self._thread.join(_STOP_SECONDS + 2)
            self._thread = None

    def _listen(self) -> socket.socket:
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((self.host, self.port))
            listener.listen(128)
        except OSError as fault:
            listener.close()
            raise HttpServerError(
                f"http: can't listen on {self.host}:{self.port} ({fault.strerror}); "
                "choose another http.host or http.port, or port 0 for a free one"
            ) from fault
        return listener
