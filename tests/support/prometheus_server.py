"""The real Prometheus and the real Alertmanager on free ports, with the configurations of deploy/, told to hurry."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import yaml
from free_ports import free_ports
from loopback import HTTP
from prometheus_files import DEPLOY, RULES, program


def until(what: Callable[[], Any], *, seconds: float, said: str) -> Any:
    """The first true answer; fails with `said` when there is none in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            found = what()
        except httpx.HTTPError:
            found = None
        if found:
            return found
        time.sleep(0.25)
    raise AssertionError(f"not in {seconds:.0f} s: {said}")


@contextmanager
def process(command: list[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Runs while the block does; what it says goes to `log`."""
    with log.open("wb") as said:
        running = subprocess.Popen(command, stdout=said, stderr=subprocess.STDOUT)
        try:
            yield running
        finally:
            running.terminate()
            try:
                running.wait(20)
            except subprocess.TimeoutExpired:
                running.kill()
                running.wait()


class Prometheus:
    """Its HTTP API."""

    def __init__(self, url: str) -> None:
        self._client = httpx.Client(base_url=url, timeout=30.0)

    def get(self, path: str, **parameters: str) -> Any:
        answer = self._client.get(f"/api/v1/{path}", params=parameters)
        body = answer.json()
        assert body["status"] == "success", body
        return body["data"]

    def query(self, expr: str) -> list[dict[str, Any]]:
        return self.get("query", query=expr)["result"]

    def rules(self) -> list[dict[str, Any]]:
        return [rule for group in self.get("rules")["groups"] for rule in group["rules"]]

    def healthy(self) -> bool:
        return self._client.get("/-/ready").status_code == 200


def hurried(text: str) -> str:
    """Rules whose alerts hardly wait, but for the one that a short test would trip over: a day of learning."""
    return re.sub(r"( +for: )(?!1d)\w+", r"\g<1>5s", text)


@contextmanager
def prometheus(folder: Path, target: str, alertmanager: str) -> Iterator[Prometheus]:
    """Scrapes `target` every other second as job `alignwatch`, with our rules, and tells `alertmanager`."""
    binary = program("prometheus")
    (folder / "rules").mkdir()
    for path in RULES:
        (folder / "rules" / path.name).write_text(hurried(path.read_text(encoding="utf-8")))
    config = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text(encoding="utf-8"))
    config["global"] |= {"scrape_interval": "2s", "scrape_timeout": "2s", "evaluation_interval": "1s"}
    config["alerting"]["alertmanagers"][0]["static_configs"] = [{"targets": [alertmanager]}]
    (job,) = config["scrape_configs"]
    job["static_configs"] = [{"targets": [target]}]
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    address = f"127.0.0.1:{free_ports(1)[0]}"
    command = [
        binary, f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data",
        f"--web.listen-address={address}", "--log.level=warn",
    ]  # fmt: skip
    with process(command, folder / "prometheus.log"):
        server = Prometheus(f"http://{address}")
        until(server.healthy, seconds=60, said=f"Prometheus ready, see {folder}/prometheus.log")
        yield server


@contextmanager
def alertmanager(folder: Path, receiver: str) -> Iterator[str]:
    """Our routes, with `receiver` as the webhook behind both of them; its host and port."""
    binary = program("prometheus-alertmanager", "alertmanager")
    config = yaml.safe_load((DEPLOY / "prometheus" / "alertmanager.yml").read_text(encoding="utf-8"))
    config["route"] |= {"group_wait": "1s", "group_interval": "1s"}
    for one in config["receivers"]:
        one["webhook_configs"] = [{"url": f"{receiver}/{one['name']}", "send_resolved": True}]
    (folder / "alertmanager.yml").write_text(yaml.safe_dump(config))
    address = f"127.0.0.1:{free_ports(1)[0]}"
    command = [
        binary, f"--config.file={folder}/alertmanager.yml", f"--storage.path={folder}/alertmanager",
        f"--web.listen-address={address}", "--cluster.listen-address=", "--log.level=warn",
    ]  # fmt: skip
    with process(command, folder / "alertmanager.log"):
        url = f"http://{address}/-/ready"
        until(lambda: HTTP.get(url).status_code == 200, seconds=60, said="Alertmanager ready")
        yield address
