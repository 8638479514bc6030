"""Chromium without a window, for tests that look at a page: `dump_dom` for what it says, `screenshot` for how it looks.

Where no Chromium is installed a test skips and says so; with CI=true that is a failure.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

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
TIMEOUT = 120


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


def _run(*arguments: str) -> str:
    browser = find_chromium()
    with tempfile.TemporaryDirectory(prefix="alignwatch-chromium-") as profile:
        command = [browser, *FLAGS, f"--user-data-dir={profile}", *arguments]
        # Times on the page are in the reader's zone: a fixed one, or the test would know where it runs.
        environment = os.environ | {"TZ": "UTC"}
        done = subprocess.run(command, capture_output=True, timeout=TIMEOUT, check=False, env=environment)
    if done.returncode:
        raise AssertionError(f"chromium ended with {done.returncode}: {done.stderr.decode(errors='replace')[-2000:]}")
    return done.stdout.decode()


def dump_dom(url: str, *, milliseconds: int = 4000) -> str:
    """The page's HTML after `milliseconds` of its own time, scripts having run."""
    return _run(f"--virtual-time-budget={milliseconds}", "--dump-dom", url)


def screenshot(
    url: str,
    path: Path,
    size: tuple[int, int] = (1280, 1600),
    *,
    dark: bool = False,
    scale: float = 1,
    milliseconds: int = 4000,
) -> Path:
    """A PNG of the page in a window of `size` CSS pixels.

    Headless Chromium takes no window narrower than 500 pixels; `phone.framed` shows a narrower page.
    """
    path.unlink(missing_ok=True)
    look = ("--blink-settings=preferredColorScheme=0",) if dark else ("--blink-settings=preferredColorScheme=1",)
    _run(
        f"--virtual-time-budget={milliseconds}",
        f"--window-size={size[0]},{size[1]}",
        f"--force-device-scale-factor={scale}",
        *look,
        f"--screenshot={path}",
        url,
    )
    if not path.exists():
        raise AssertionError(f"chromium wrote no {path.name}")
    return path
