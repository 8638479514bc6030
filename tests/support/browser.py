"""Chromium without a window, driven by its DevTools protocol over a pipe: real keys, real time, real media settings.

Where no Chromium is installed a test skips and says so; with CI=true that is a failure. One browser serves many pages.
https://chromedevtools.github.io/devtools-protocol/
"""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

from chromium import FLAGS, find_chromium

SECONDS = 60.0
KEYS = {
    "Tab": ("Tab", 9, ""), "Enter": ("Enter", 13, "\r"), " ": ("Space", 32, " "), "End": ("End", 35, ""),
    "Home": ("Home", 36, ""), "ArrowLeft": ("ArrowLeft", 37, ""), "ArrowRight": ("ArrowRight", 39, ""),
    "Escape": ("Escape", 27, ""),
}  # fmt: skip
SHIFT = 8


class Browser:
    """A running Chromium with a fresh profile."""

    def __init__(self) -> None:
        self._profile = tempfile.mkdtemp(prefix="alignwatch-chromium-")
        ours_in, theirs_out = os.pipe()
        theirs_in, ours_out = os.pipe()
        self._in, self._out = ours_in, ours_out
        command = [find_chromium(), *FLAGS, f"--user-data-dir={self._profile}", "--remote-debugging-pipe"]

        def place() -> None:
            # The pipe is at file descriptors 3 and 4; copied high first, as one of ours may lie there.
            read, write = os.dup2(theirs_in, 103), os.dup2(theirs_out, 104)
            os.dup2(read, 3)
            os.dup2(write, 4)

        self._process = subprocess.Popen(
            command,
            preexec_fn=place,  # noqa: PLW1509 - it only copies descriptors
            close_fds=False,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=os.environ | {"TZ": "Asia/Tokyo"},
        )
        os.close(theirs_in)
        os.close(theirs_out)
        self._buffer = b""
        self._number = 0
        self.events: deque[dict[str, Any]] = deque()

    def call(self, method: str, session: str | None = None, **params: Any) -> dict[str, Any]:
        """Send a command and wait for its answer; events on the way are kept."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        os.write(self._out, json.dumps(message | ({"sessionId": session} if session else {})).encode() + b"\0")
        end = time.monotonic() + SECONDS
        while True:
            answer = self._next(end)
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise AssertionError(f"{method}: {answer['error']}")
                return answer["result"]
            self.events.append(answer)

    def _next(self, end: float) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._in], [], [], max(0.0, end - time.monotonic()))
            data = os.read(self._in, 1 << 20) if ready else b""
            if not data:
                raise AssertionError(f"chromium does not answer (exit status {self._process.poll()})")
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(line)

    def page(self, **settings: Any) -> Page:
        """A new page; see Page."""
        return Page(self, **settings)

    def close(self) -> None:
        os.close(self._out)
        os.close(self._in)
        self._process.terminate()
        self._process.wait(60)
        shutil.rmtree(self._profile, ignore_errors=True)


class Page:
    """A page of its own size and settings.

    Args:
        browser: where.
        size: of the window, in CSS pixels.
        dark: prefers a dark page.
        scripting: False as with JavaScript switched off.
        phone: a touch screen with a mobile viewport.
        scale: device pixels a CSS pixel.
    """

    def __init__(
        self,
        browser: Browser,
        *,
        size: tuple[int, int] = (1280, 900),
        dark: bool = False,
        scripting: bool = True,
        phone: bool = False,
        scale: float = 1.0,
    ) -> None:
        self._browser = browser
        self._target = browser.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = browser.call("Target.attachToTarget", targetId=self._target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Accessibility"):
            self.call(f"{domain}.enable")
        self.call(
            "Emulation.setDeviceMetricsOverride", width=size[0], height=size[1], deviceScaleFactor=scale, mobile=phone
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        if not scripting:
            self.call("Emulation.setScriptExecutionDisabled", value=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._browser.call("Target.closeTarget", targetId=self._target)

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        return self._browser.call(method, self._session, **params)

    def open(self, url: str) -> Self:
        self.call("Page.navigate", url=url)
        self.until("document.readyState === 'complete' && location.href !== 'about:blank'")
        return self

    def run(self, expression: str) -> Any:
        """The value of a JavaScript expression; works with scripting of the page switched off, too."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise AssertionError(f"{expression}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def until(self, expression: str, seconds: float = 60.0) -> Any:
        """Wait for an expression to become true."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            value = self.run(expression)
            if value:
                return value
            time.sleep(0.05)
        raise AssertionError(f"still not so after {seconds:.0f} s: {expression}; the page reads: {self.text()[:600]}")

    def text(self, selector: str = "body") -> str:
        """What can be read in the element, in one line; hidden texts for screen readers among it."""
        found = self.run(f"document.querySelector({json.dumps(selector)})?.textContent ?? ''")
        return " ".join(found.split())

    def press(self, key: str, *, shift: bool = False) -> None:
        """A key pressed and released, as the browser gets it from a keyboard."""
        code, number, text = KEYS[key]
        common = {"key": key, "code": code, "windowsVirtualKeyCode": number, "modifiers": SHIFT if shift else 0}
        self.call("Input.dispatchKeyEvent", type="keyDown" if text else "rawKeyDown", text=text, **common)
        self.call("Input.dispatchKeyEvent", type="keyUp", **common)

    def focused(self) -> str:
        """What has the focus, in a few words."""
        return self.run(
            "(() => { const one = document.activeElement; return `${one.tagName.toLowerCase()}"
            "${one.id ? '#' + one.id : ''}: ${one.textContent.trim().split(/\\s+/).slice(0, 6).join(' ')}`; })()"
        )

    def point_at(self, x: float, y: float) -> None:
        """Move the mouse."""
        self.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    def faults(self) -> list[str]:
        """What a console of this page would show in red."""
        kinds = {"Runtime.exceptionThrown", "Log.entryAdded", "Runtime.consoleAPICalled"}
        mine = [one for one in self._browser.events if one.get("sessionId") == self._session and one["method"] in kinds]
        return [json.dumps(one["params"]) for one in mine]

    def spoken(self) -> list[tuple[str, str]]:
        """Role and name of everything that a screen reader finds, in order."""
        nodes = {one["nodeId"]: one for one in self.call("Accessibility.getFullAXTree")["nodes"]}

        def walk(one: dict[str, Any]) -> Iterator[dict[str, Any]]:
            yield one
            for child in one.get("childIds", ()):
                yield from walk(nodes[child])

        (root,) = [one for one in nodes.values() if "parentId" not in one]
        return [
            (one["role"]["value"], " ".join(str(one.get("name", {}).get("value", "")).split()))
            for one in walk(root)
            if not one.get("ignored") and "role" in one
        ]

    def screenshot(self, path: Path, *, whole: bool = False) -> Path:
        """A PNG of the window, or of the whole page."""
        if whole:
            box = self.call("Page.getLayoutMetrics")["cssContentSize"]
            clip = {"x": 0, "y": 0, "width": box["width"], "height": box["height"], "scale": 1}
            data = self.call("Page.captureScreenshot", captureBeyondViewport=True, clip=clip)["data"]
        else:
            data = self.call("Page.captureScreenshot")["data"]
        path.write_bytes(base64.b64decode(data))
        return path
