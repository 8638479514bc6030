"""HTTP to servers on this machine: past any proxy, a connection for each request, as its server may be a new one."""

from __future__ import annotations

import httpx

# One client for all: `httpx.get` makes a TLS context each time, which costs more than most requests it is made for.
HTTP = httpx.Client(trust_env=False, timeout=20.0, limits=httpx.Limits(max_keepalive_connections=0))
