"""Where Chromium is, and how it runs without a window; `browser` drives it."""

from __future__ import annotations

import os
import shutil

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome", "headless_shell")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--hide-scrollbars",
    "--mute-audio",
)


def find_chromium() -> str:
    """Path of a Chromium; skips the test where there is none, fails it with CI=true."""
    named = os.environ.get("CHROMIUM")
    found = named or next((path for path in map(shutil.which, NAMES) if path), None)
    if found:
        return found
    said = "needs Chromium (Debian package `chromium`), or its path in CHROMIUM"
    if os.environ.get("CI") == "true":
        pytest.fail(said)
    pytest.skip(said)
