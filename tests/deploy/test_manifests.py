"""What a cluster, a host and compose are given: valid by their own schemas, locked down, and true to the program."""

from __future__ import annotations

import configparser
import os
import re
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from prometheus_files import DEPLOY, ROOT

from monitor.config import load

KUBERNETES = sorted((DEPLOY / "kubernetes").glob("*.yaml"))
VERSION = "1.33"


def documents() -> Iterator[dict[str, Any]]:
    for path in KUBERNETES:
        yield from yaml.safe_load_all(path.read_text(encoding="utf-8"))


def pods() -> list[tuple[str, dict[str, Any]]]:
    """Name and spec of every pod."""
    return [(one["metadata"]["name"], one["spec"]["template"]["spec"]) for one in documents() if is_pod(one)]


def is_pod(one: dict[str, Any]) -> bool:
    return "template" in one.get("spec", ())


def ours() -> list[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Name, pod and container wherever the monitor runs."""
    return [
        (name, pod, container)
        for name, pod in pods()
        for container in (*pod.get("initContainers", ()), *pod["containers"])
        if container["name"] == "alignwatch"
    ]


@pytest.fixture(autouse=True)
def _own_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings of whoever runs the tests must not fill in what a file leaves out."""
    for name in list(os.environ):
        if name.startswith("ALIGNWATCH__"):
            monkeypatch.delenv(name)


@pytest.mark.parametrize("path", KUBERNETES, ids=lambda path: path.stem)
def test_manifests_are_valid_by_kubernetes_own_schemas(path: Path) -> None:
    found = list(yaml.safe_load_all(path.read_text(encoding="utf-8")))
    assert found
    for one in found:
        kubernetes_validate.validate(one, VERSION, strict=True)


def test_the_validation_would_notice_a_misspelt_field() -> None:
    (one, *_) = [doc for doc in documents() if doc["kind"] == "StatefulSet"]
    one["spec"]["template"]["spec"]["terminationGracePeriod"] = 5
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(one, VERSION, strict=True)


def test_every_monitor_is_locked_down_limited_and_probed() -> None:
    assert {name for name, _, _ in ours()} == {"alignwatch-label", "alignwatch-detect", "gateway"}
    for name, pod, container in ours():
        context = container["securityContext"]
        assert context["readOnlyRootFilesystem"] is True, name
        assert context["allowPrivilegeEscalation"] is False
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["terminationGracePeriodSeconds"] > load(None, {}).settings.worker.drain_seconds
        assert set(container["resources"]) == {"requests", "limits"}
        assert "memory" in container["resources"]["limits"]
        assert {"startupProbe", "livenessProbe"} <= set(container)


def test_the_sidecar_starts_before_the_gateway_and_ends_after_it() -> None:
    (pod,) = [pod for name, pod in pods() if name == "gateway"]
    (sidecar,) = pod["initContainers"]
    assert sidecar["restartPolicy"] == "Always"
    assert "readinessProbe" not in sidecar


def test_every_volume_that_is_mounted_exists_and_all_that_is_written_has_one() -> None:
    for one in documents():
        if not is_pod(one):
            continue
        pod = one["spec"]["template"]["spec"]
        names = {volume["name"] for volume in pod["volumes"]}
        names |= {claim["metadata"]["name"] for claim in one["spec"].get("volumeClaimTemplates", ())}
        for container in (*pod.get("initContainers", ()), *pod["containers"]):
            mounts = {mount["name"] for mount in container.get("volumeMounts", ())}
            assert mounts <= names
            if container["name"] == "alignwatch":
                writable = {m["mountPath"] for m in container["volumeMounts"] if not m.get("readOnly")}
                assert writable == {"/var/lib/alignwatch", "/tmp"}


def settings_files() -> list[tuple[str, str]]:
    """Every settings file that is shipped, also those inside manifests."""
    found = [
        (str(path.relative_to(DEPLOY)), path.read_text(encoding="utf-8"))
        for path in DEPLOY.rglob("*.toml")
        if "gateways" not in path.parts
    ]
    for one in documents():
        if one["kind"] == "ConfigMap":
            found += [(f"{one['metadata']['name']}/{name}", text) for name, text in one["data"].items()]
    return found


@pytest.mark.parametrize(("name", "text"), settings_files(), ids=[name for name, _ in settings_files()])
def test_every_settings_file_is_accepted(name: str, text: str, tmp_path: Path) -> None:
    assert tomllib.loads(text)
    path = tmp_path / "alignwatch.toml"
    path.write_text(text)
    settings = load(path, {}).settings
    assert settings.http.faults(settings.source) == []


COMPOSE = yaml.safe_load((DEPLOY / "compose" / "compose.yaml").read_text(encoding="utf-8"))


def test_compose_mounts_what_exists_and_depends_on_what_is_there() -> None:
    services = COMPOSE["services"]
    assert set(services) == {"kafka", "topics", "alignwatch", "prometheus", "alertmanager", "grafana"}
    for name, service in services.items():
        assert set(service.get("depends_on", ())) <= set(services), name
        for mount in service.get("volumes", ()):
            source = mount.split(":")[0]
            known = source in COMPOSE["volumes"] or (DEPLOY / "compose" / source).resolve().exists()
            assert known, f"{name} mounts {source}"
        for port in service.get("ports", ()):
            assert port.startswith("127.0.0.1:"), f"{name} is published beyond this machine"
        assert "image" in service
        assert not service["image"].endswith(":latest")


def test_image_tags_that_nobody_has_tried_are_named_in_the_guide() -> None:
    told = (ROOT / "docs" / "deployment.md").read_text(encoding="utf-8").partition("Not checked:")[2]
    compose = yaml.safe_load((DEPLOY / "compose" / "compose.yaml").read_text(encoding="utf-8"))
    used = {one["image"] for one in compose["services"].values()} - {"alignwatch"}
    used.add(re.search(r"ARG BASE=(\S+)", DOCKERFILE)[1])
    assert len(used) == 5
    assert [tag for tag in sorted(used) if f"`{tag}`" not in told] == []


def test_compose_runs_the_monitor_without_rights() -> None:
    service = COMPOSE["services"]["alignwatch"]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert (DEPLOY / "compose" / service["build"]["context"] / service["build"]["dockerfile"]).resolve().exists()


def test_prometheus_in_compose_finds_the_monitor_and_alertmanager() -> None:
    config = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text(encoding="utf-8"))
    targets = [
        target for job in config["scrape_configs"] for group in job["static_configs"] for target in group["targets"]
    ]
    targets += config["alerting"]["alertmanagers"][0]["static_configs"][0]["targets"]
    for target in targets:
        host, _, port = target.partition(":")
        assert host in COMPOSE["services"]
        assert any(entry.endswith(f":{port}") for entry in COMPOSE["services"][host]["ports"])


def test_commands_in_manifests_are_commands_of_the_program() -> None:
    from monitor.cli._main import cli  # noqa: PLC0415

    demo = yaml.safe_load((DEPLOY / "compose" / "compose.demo.yaml").read_text(encoding="utf-8"))
    given = [container["args"] for _, _, container in ours()]
    given += [COMPOSE["services"]["alignwatch"]["command"], demo["services"]["alignwatch"]["command"]]
    for arguments in given:
        command = cli.get_command(None, arguments[0])  # type: ignore[arg-type]
        assert command is not None
        command.make_context(arguments[0], list(arguments[1:]))


UNIT = DEPLOY / "systemd" / "alignwatch.service"


def test_systemd_accepts_the_unit_and_finds_it_locked_down(tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("needs systemd-analyze")
    copy = tmp_path / UNIT.name
    copy.write_text(re.sub(r"ExecStart=\S+", "ExecStart=/bin/true", UNIT.read_text(encoding="utf-8")))
    done = subprocess.run(
        [analyze, "verify", "--man=no", copy], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
    command = [analyze, "security", "--offline=true", "--threshold=20", "--no-pager", copy]
    exposed = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert exposed.returncode == 0, exposed.stdout[-500:]


def test_the_unit_waits_for_what_the_program_says_of_itself() -> None:
    unit = configparser.ConfigParser(strict=False, delimiters=("=",), interpolation=None)
    unit.read(UNIT, encoding="utf-8")
    assert unit["Service"]["Type"] == "notify", "tests/monitor/test_systemd.py shows that it says READY=1"
    assert int(unit["Service"]["WatchdogSec"]) >= 30
    assert "AF_UNIX" in unit["Service"]["RestrictAddressFamilies"], "where the datagrams go"


def test_the_unit_gives_the_service_time_to_drain() -> None:
    text = UNIT.read_text(encoding="utf-8")
    assert int(re.search(r"TimeoutStopSec=(\d+)", text)[1]) > load(None, {}).settings.worker.drain_seconds
    assert "RestartPreventExitStatus=2" in text


DOCKERFILE = (DEPLOY / "container" / "Dockerfile").read_text(encoding="utf-8")


def test_the_image_runs_as_nobody_special_and_holds_no_build_tools() -> None:
    build, final = re.split(r"^FROM \$\{BASE\}\n", DOCKERFILE, flags=re.MULTILINE)
    assert "AS build" in build
    assert re.search(r"^USER 10001:10001$", final, re.MULTILINE)
    assert "pip install" not in final
    assert re.search(r"^HEALTHCHECK", final, re.MULTILINE)
    for pod in (pod for _, pod, _ in ours()):
        assert pod["securityContext"]["runAsUser"] == 10001
