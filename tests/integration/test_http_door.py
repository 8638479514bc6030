"""The sidecar as a process: what it accepted over HTTP is counted once, however it ends."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from exchanges import native
from gateways import chat_request, chat_response, kong, litellm
from loopback import HTTP

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]

COMMAND = [sys.executable, "-c", "from monitor.cli import main; main()"]
TOKEN = "0123456789abcdef"


class Sidecar:
    """`alignwatch run` with an HTTP source, in a folder."""

    def __init__(self, folder: Path) -> None:
        (folder / "token").write_text(TOKEN + "\n")
        self.folder = folder
        self.config = folder / "alignwatch.toml"
        self.config.write_text(
            f"""
            [source]
            kind = "http"
            [source.http]
            spool = "{folder}/spool"
            [intake]
            default_deployment = "chat-prod"
            max_past_seconds = 1e9
            max_future_seconds = 1e9
            dedup_window_seconds = 1e9
            [sampling]
            uniform_rate = 1.0
            [worker]
            commit_seconds = 0.2
            poll_seconds = 0.1
            [state]
            path = "{folder}/state.sqlite3"
            [http]
            port = 0
            ingest_token_file = "{folder}/token"
            """
        )
        self.url = ""
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        log = self.folder / "log"
        with log.open("ab") as file:
            mark = file.tell()
            self.process = subprocess.Popen([*COMMAND, "run", "-c", str(self.config)], stderr=file, stdout=file)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and self.process.poll() is None:
            for line in log.read_text()[mark:].splitlines():
                if line.startswith("status page: "):
                    self.url = line.split(": ", 1)[1].strip()
                    self.until(lambda: self.get("/readyz").status_code == 200)
                    return
            time.sleep(0.05)
        raise AssertionError(log.read_text()[-3000:])

    def get(self, path: str) -> httpx.Response:
        return HTTP.get(self.url + path)

    def post(self, path: str, body: Any, token: str = TOKEN) -> httpx.Response:
        headers = {"authorization": f"Bearer {token}"}
        return HTTP.post(self.url + path, json=body, headers=headers)

    def counts(self) -> dict[str, Any]:
        return dict(self.get("/status").json()["pipeline"])

    def until(self, reached: Callable[[], bool], seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            try:
                if reached():
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.05)
        raise AssertionError(f"not reached in {seconds} s: {self.counts()}")

    def end(self, number: signal.Signals) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(timeout=60)


@contextmanager
def sidecar(folder: Path) -> Iterator[Sidecar]:
    one = Sidecar(folder)
    one.start()
    try:
        yield one
    finally:
        if one.process is not None and one.process.poll() is None:
            one.process.kill()
            one.process.wait()


def labels_of(one: Sidecar) -> int:
    """Labels that the detectors have counted."""
    return sum(int(found["labels"]) for found in one.get("/status").json()["deployments"])


def test_what_was_accepted_survives_kill_and_restart_and_counts_once(tmp_path):
    with sidecar(tmp_path) as one:
        sent = 0
        for turn in range(2):
            for _ in range(4):
                batch = [native(id=f"r-{sent + n}", prompt=f"How do I boil {n + 2} eggs?") for n in range(10)]
                assert one.post("/v1/exchanges", batch).json() == {"accepted": 10}
                sent += 10
            # Somewhere between accepted, read, counted and committed.
            time.sleep(0.15 * turn)
            assert one.end(signal.SIGKILL) == -signal.SIGKILL
            one.start()
        one.until(lambda: one.get("/status").json()["source"]["lag"] == 0 and labels_of(one) == sent)
        assert one.end(signal.SIGTERM) == 0
        one.start()
        one.until(lambda: labels_of(one) == sent)
        time.sleep(0.5)
        assert labels_of(one) == sent
        assert one.counts()["dead_letters"] == {}
        assert one.end(signal.SIGTERM) == 0
    assert list((tmp_path / "spool").glob("*.spool")) == [], "no text is kept once it is counted"


def test_gateways_of_several_kinds_share_the_door_and_strangers_are_refused(tmp_path):
    with sidecar(tmp_path) as one:
        assert one.post("/v1/exchanges", native(), token="wrong").status_code == 401
        assert one.post("/v1/litellm", [litellm(id="l-1"), litellm(id="l-2")]).status_code == 202
        assert one.post("/v1/kong", kong()).status_code == 202
        assert one.post("/v1/exchanges", {"nothing": "known"}).status_code == 202
        for side, body in (("request", chat_request()), ("response", chat_response())):
            headers = {
                "authorization": f"Bearer {TOKEN}", "ce-id": "k-1", "ce-specversion": "1.0", "ce-source": "x",
                "ce-type": f"org.kubeflow.serving.inference.{side}",
            }  # fmt: skip
            answer = HTTP.post(f"{one.url}/v1/cloudevents", json=body, headers=headers)
            assert answer.status_code == 202
        one.until(lambda: one.counts()["decoded"] == 4)
        assert one.counts()["dead_letters"] == {"unknown-envelope": 1}
        assert "Put it in boiling water" not in (tmp_path / "log").read_text()
        assert one.end(signal.SIGTERM) == 0


def test_a_half_that_was_waiting_is_read_again_after_a_kill(tmp_path):
    with sidecar(tmp_path) as one:
        headers = {"authorization": f"Bearer {TOKEN}", "ce-id": "k-1", "ce-specversion": "1.0", "ce-source": "x"}

        def send(side: str, body: Any) -> None:
            kind = {"ce-type": f"org.kubeflow.serving.inference.{side}"}
            url = f"{one.url}/v1/cloudevents"
            assert HTTP.post(url, json=body, headers=headers | kind).status_code == 202

        send("request", chat_request())
        assert one.post("/v1/exchanges", native(id="behind")).status_code == 202
        one.until(lambda: labels_of(one) == 1)
        time.sleep(0.6)
        one.end(signal.SIGKILL)
        one.start()
        send("response", chat_response())
        one.until(lambda: labels_of(one) == 2)
        time.sleep(0.5)
        assert labels_of(one) == 2, "what lies behind the half is read again and changes nothing"
        assert one.counts()["duplicates"] == 1
        assert one.end(signal.SIGTERM) == 0


def test_the_door_does_not_open_to_other_machines_without_a_token(tmp_path):
    config = tmp_path / "alignwatch.toml"
    config.write_text('[source]\nkind = "http"\n[http]\nhost = "0.0.0.0"\n')
    done = subprocess.run([*COMMAND, "config", "check", "-c", str(config)], check=False, capture_output=True, text=True)
    assert done.returncode == 2
    assert "http.host = 0.0.0.0: taking traffic in from other machines needs http.ingest_token_file" in done.stderr
