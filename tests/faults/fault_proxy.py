"""A TCP proxy on loopback that can be cut, as a network is: connections die, and new ones are refused for a while."""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
import time

CHUNK = 256 << 10


class CutProxy:
    """Forwards connections on `port` to `target`.

    One thread moves the bytes of all connections; a side that can't take more holds up its own connection alone.
    """

    def __init__(self, port: int, target: int) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", port), backlog=64)
        self._listener.setblocking(False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._peer: dict[socket.socket, socket.socket] = {}
        self._cut_until = 0.0
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def cut(self, seconds: float) -> None:
        """Reset every connection, and every new one for this long."""
        self._cut_until = time.monotonic() + seconds

    def _run(self) -> None:
        while not self._stopped.is_set():
            down = time.monotonic() < self._cut_until
            if down:
                for one in list(self._peer):
                    self._drop(one)
            for key, _ in self._selector.select(0.05):
                if key.fileobj is self._listener:
                    self._accept(down=down)
                elif isinstance(key.fileobj, socket.socket) and key.fileobj in self._peer:
                    self._move(key.fileobj)

    def _accept(self, *, down: bool) -> None:
        with contextlib.suppress(OSError):
            client, _ = self._listener.accept()
            if down:
                client.close()
                return
            try:
                server = socket.create_connection(("127.0.0.1", self._target), timeout=2)
            except OSError:
                client.close()
                return
            for one, other in ((client, server), (server, client)):
                one.settimeout(5)
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._peer[one] = other
                self._selector.register(one, selectors.EVENT_READ)

    def _move(self, one: socket.socket) -> None:
        try:
            data = one.recv(CHUNK)
            if data:
                self._peer[one].sendall(data)
        except OSError:
            data = b""
        if not data:
            self._drop(one)

    def _drop(self, one: socket.socket) -> None:
        other = self._peer.pop(one, None)
        for half in (one, other):
            if half is not None:
                self._peer.pop(half, None)
                with contextlib.suppress(KeyError, ValueError):
                    self._selector.unregister(half)
                half.close()

    def close(self) -> None:
        """Stop, and drop all connections."""
        self._stopped.set()
        self._thread.join(5)
        for one in list(self._peer):
            self._drop(one)
        self._listener.close()
        self._selector.close()
