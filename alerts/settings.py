"""What the settings of alert delivery are made of: checked URLs and templates, secrets named but never held, TLS."""

from __future__ import annotations

import string
from pathlib import Path
from typing import Annotated, Any, Final, NoReturn
from urllib.parse import urlsplit, urlunsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic.json_schema import SkipJsonSchema

INLINE_SECRETS: Final = ("routing_key", "bearer_token", "hmac_secret")
HIDDEN: Final = "(hidden)"
PLACEHOLDERS: Final = ("deployment", "verdict", "incident", "from_ms", "to_ms", "from_utc", "to_utc")
"""What link and command templates may hold, in braces."""


def _refuse_inline(value: Any) -> NoReturn:
    del value
    raise ValueError(
        "a secret is never written into the settings; name a file or an environment variable that holds it"
    )


def _check_url(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("must be an http or https URL with a host")
    if "@" in parts.netloc:
        raise ValueError("must hold no user or password; use bearer_token_file, bearer_token_env, url_file or url_env")
    return url


def _check_template(template: str) -> str:
    try:
        fields = {name for _, name, _, _ in string.Formatter().parse(template) if name is not None}
    except ValueError as error:
        raise ValueError(f"not a template: {error}; write {{{{ and }}}} for plain braces") from error
    unknown = sorted(fields - set(PLACEHOLDERS))
    if unknown:
        allowed = ", ".join("{" + name + "}" for name in PLACEHOLDERS)
        raise ValueError(f"unknown placeholder {', '.join(unknown)}; allowed: {allowed}")
    return template


Refused = Annotated[SkipJsonSchema[None], BeforeValidator(_refuse_inline), Field(exclude=True, repr=False)]
Url = Annotated[str, AfterValidator(_check_url)]
Template = Annotated[str, AfterValidator(_check_template)]
Seconds = Annotated[float, Field(gt=0, le=86400, allow_inf_nan=False)]
SinkName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]


class Section(BaseModel):
    """A table of settings."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class TlsConfig(Section):
    """How a receiver is trusted, and how we show who we are."""

    ca_file: Path | None = None
    """PEM bundle to trust instead of the system's."""
    cert_file: Path | None = None
    key_file: Path | None = None

    @model_validator(mode="after")
    def _pair(self) -> TlsConfig:
        if self.key_file is not None and self.cert_file is None:
            raise ValueError("key_file needs cert_file")
        return self


def redacted(sink: Any) -> Any:
    """The sink's table without secrets, so that no message about it can repeat one."""
    if not isinstance(sink, dict):
        return sink
    hidden = {key: HIDDEN for key in INLINE_SECRETS if sink.get(key) is not None}
    if sink.get("kind") == "slack" and sink.get("url") is not None:
        return sink | hidden | {"url": HIDDEN}
    for key in ("url", "endpoint", "change_endpoint"):
        if isinstance(sink.get(key), str) and "@" in sink[key]:
            hidden[key] = _without_user(sink[key])
    if isinstance(sink.get("urls"), list | tuple):
        urls = [_without_user(one) if isinstance(one, str) else one for one in sink["urls"]]
        return sink | hidden | {"urls": urls}
    return sink | hidden


def _without_user(url: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError:
        return HIDDEN
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{HIDDEN}@{host}")) if "@" in parts.netloc else url


def exactly_one(first: str, one: object, second: str, two: object) -> None:
    """Refuse both and neither."""
    if (one is None) == (two is None):
        raise ValueError(f"exactly one of {first} and {second} is needed")


def at_most_one(first: str, one: object, second: str, two: object) -> None:
    """Refuse both."""
    if one is not None and two is not None:
        raise ValueError(f"only one of {first} and {second} may be set")
