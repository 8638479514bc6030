"""An OAUTHBEARER token provider: OAuth 2.0 client credentials (RFC 6749 section 4.4) over the standard library."""

from __future__ import annotations

import base64
import json
import threading
import time
import urllib.parse
import urllib.request
from typing import Any, Final

from kafka.net.sasl.oauth import AbstractTokenProvider

from monitor.errors import SourceError

TIMEOUT_SECONDS: Final = 10.0
MARGIN_SECONDS: Final = 30.0
"""A token this close to its end is renewed: a broker checks it a little later than we do."""


class ClientCredentials(AbstractTokenProvider):  # type: ignore[misc]  # kafka-python has no types
    """Fetches and caches an access token; kafka-python asks for one at each (re-)authentication.

    Args:
        url: the token endpoint; https, or http on loopback.
        client_id: who we are there.
        secret: the client secret.
        scope: asked for, if any.
    """

    def __init__(self, url: str, client_id: str, secret: str, scope: str | None = None) -> None:
        parts = urllib.parse.urlsplit(url)
        if parts.scheme != "https" and not (
            parts.scheme == "http" and parts.hostname in {"127.0.0.1", "localhost", "::1"}
        ):
            raise SourceError(f"sasl_oauth_token_url: {parts.scheme}://...; https is required beyond loopback")
        super().__init__()
        self._url = url
        self._scope = scope
        pair = f"{urllib.parse.quote(client_id, safe='')}:{urllib.parse.quote(secret, safe='')}"
        self._authorization = "Basic " + base64.b64encode(pair.encode()).decode()
        self._lock = threading.Lock()
        self._token = ""
        self._expires = 0.0

    def token(self) -> str:
        """A token that is valid for a while yet.

        Raises:
            SourceError: the endpoint can't be reached or did not answer with a token.
        """
        with self._lock:
            if time.monotonic() >= self._expires:
                self._renew()
            return self._token

    def extensions(self) -> dict[str, str]:
        """SASL extensions (RFC 7628): none."""
        return {}

    def _renew(self) -> None:
        form = {"grant_type": "client_credentials"} | ({"scope": self._scope} if self._scope else {})
        request = urllib.request.Request(  # noqa: S310 - the scheme was checked in the constructor
            self._url,
            data=urllib.parse.urlencode(form).encode(),
            headers={"Authorization": self._authorization, "Accept": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as response:  # noqa: S310 - as above
                answer: Any = json.load(response)
            self._token = str(answer["access_token"])
            self._expires = time.monotonic() + max(0.0, float(answer.get("expires_in", 300)) - MARGIN_SECONDS)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            # The answer may hold a token: only the kind of the fault is told.
            raise SourceError(f"sasl_oauth_token_url: no token: {type(error).__name__}") from error
