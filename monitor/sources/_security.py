"""Kafka's security settings, one to one, with every secret held by a file or an environment variable."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, model_validator

from monitor.errors import ConfigError
from monitor.sources._oauth import ClientCredentials

Mechanism = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "GSSAPI", "OAUTHBEARER"]


class KafkaSecurity(BaseModel):
    """How to reach and authenticate to the brokers; names are kafka-python's."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    ssl_check_hostname: bool = True
    ssl_cafile: Path | None = None
    ssl_certfile: Path | None = None
    ssl_keyfile: Path | None = None
    ssl_crlfile: Path | None = None
    ssl_ciphers: str | None = None
    ssl_password_file: Path | None = None
    ssl_password_env: str | None = None
    sasl_mechanism: Mechanism | None = None
    sasl_plain_username: str | None = None
    sasl_plain_password_file: Path | None = None
    sasl_plain_password_env: str | None = None
    sasl_kerberos_service_name: str = "kafka"
    sasl_kerberos_domain_name: str | None = None
    sasl_oauth_token_url: str | None = None
    """OAUTHBEARER: the identity provider's token endpoint (OAuth 2.0 client credentials, RFC 6749 section 4.4)."""
    sasl_oauth_client_id: str | None = None
    sasl_oauth_client_secret_file: Path | None = None
    sasl_oauth_client_secret_env: str | None = None
    sasl_oauth_scope: str | None = None

    @model_validator(mode="after")
    def _whole(self) -> KafkaSecurity:
        uses_sasl = self.security_protocol.startswith("SASL")
        if uses_sasl and self.sasl_mechanism is None:
            raise ValueError(f"security_protocol is {self.security_protocol}; sasl_mechanism is required")
        if self.sasl_mechanism is not None and not uses_sasl:
            raise ValueError("sasl_mechanism needs security_protocol SASL_SSL or SASL_PLAINTEXT")
        for name in ("ssl_password", "sasl_plain_password", "sasl_oauth_client_secret"):
            if getattr(self, f"{name}_file") and getattr(self, f"{name}_env"):
                raise ValueError(f"{name}_file and {name}_env are both set; only one of them is allowed")
        for name in self._missing():
            raise ValueError(f"sasl_mechanism {self.sasl_mechanism} needs {name}")
        return self

    def _missing(self) -> list[str]:
        if self.sasl_mechanism in {"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"}:
            password = self.sasl_plain_password_file or self.sasl_plain_password_env
            needs = {
                "sasl_plain_username": self.sasl_plain_username,
                "sasl_plain_password_file or sasl_plain_password_env": password,
            }
        elif self.sasl_mechanism == "OAUTHBEARER":
            secret = self.sasl_oauth_client_secret_file or self.sasl_oauth_client_secret_env
            needs = {
                "sasl_oauth_token_url": self.sasl_oauth_token_url,
                "sasl_oauth_client_id": self.sasl_oauth_client_id,
                "sasl_oauth_client_secret_file or sasl_oauth_client_secret_env": secret,
            }
        else:
            needs = {}
        return [name for name, value in needs.items() if not value]

    def client_options(self) -> dict[str, Any]:
        """Keyword arguments for kafka-python's clients, secrets read.

        Raises:
            ConfigError: a file or variable that holds a secret is missing or empty.
        """
        options: dict[str, Any] = {"security_protocol": self.security_protocol}
        if self.security_protocol.endswith("SSL"):
            options["ssl_check_hostname"] = self.ssl_check_hostname
            files = ("ssl_cafile", "ssl_certfile", "ssl_keyfile", "ssl_crlfile")
            options |= {name: str(path) for name in files if (path := getattr(self, name))}
            if self.ssl_ciphers:
                options["ssl_ciphers"] = self.ssl_ciphers
            if self.ssl_password_file or self.ssl_password_env:
                options["ssl_password"] = self._secret("ssl_password")
        return options | self._sasl_options()

    def _sasl_options(self) -> dict[str, Any]:
        if self.sasl_mechanism is None:
            return {}
        options: dict[str, Any] = {"sasl_mechanism": self.sasl_mechanism}
        if self.sasl_mechanism == "GSSAPI":
            options["sasl_kerberos_service_name"] = self.sasl_kerberos_service_name
            if self.sasl_kerberos_domain_name:
                options["sasl_kerberos_domain_name"] = self.sasl_kerberos_domain_name
        elif self.sasl_mechanism == "OAUTHBEARER":
            options["sasl_oauth_token_provider"] = ClientCredentials(
                str(self.sasl_oauth_token_url),
                str(self.sasl_oauth_client_id),
                self._secret("sasl_oauth_client_secret"),
                self.sasl_oauth_scope,
            )
        else:
            options["sasl_plain_username"] = self.sasl_plain_username
            options["sasl_plain_password"] = self._secret("sasl_plain_password")
        return options

    def _secret(self, name: str) -> str:
        path: Path | None = getattr(self, f"{name}_file")
        variable: str | None = getattr(self, f"{name}_env")
        if path is not None:
            try:
                secret = path.read_text(encoding="utf-8").strip()
            except (OSError, UnicodeDecodeError) as error:
                raise ConfigError([f"{name}_file = {path}: can't be read: {type(error).__name__}"]) from error
            holder = f"{name}_file = {path}"
        else:
            secret = os.environ.get(variable or "", "")
            holder = f"{name}_env = {variable}"
        if not secret:
            raise ConfigError([f"{holder}: is empty or not set; it must hold the secret"])
        return secret
