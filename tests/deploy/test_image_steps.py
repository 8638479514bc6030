"""The image by the Dockerfile's own steps, dependencies and all, and the program as the image runs it.

No container engine is needed: the steps of the build stage run in a folder of their own, and what they made is started
as user 10001 on a read-only file system, where this machine allows that.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_files import DEPLOY, ROOT

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(600)]
DOCKERFILE = (DEPLOY / "container" / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
BUILD, FINAL = re.split(r"^FROM \$\{BASE\}\n", DOCKERFILE, flags=re.MULTILINE)
PLAIN = "/usr/bin:/bin:/usr/sbin:/sbin"
UNREACHABLE = ("Could not find a version", "Temporary failure in name resolution", "Max retries exceeded")
DEMO_SECONDS = 240


@pytest.fixture(scope="module")
def image() -> Iterator[Path]:
    """What the build stage leaves in /opt/alignwatch, at a place that any user may read."""
    # Not under the test run's own folder, which nobody else may enter.
    home = Path(tempfile.mkdtemp(prefix="alignwatch-image-", dir="/var/tmp"))
    home.chmod(0o755)
    (home / "src").mkdir()
    try:
        build(home / "src", home / "opt")
        shutil.rmtree(home / "src")
        yield home / "opt"
    finally:
        shutil.rmtree(home, ignore_errors=True)


def build(source: Path, target: Path) -> None:
    """COPY and RUN as they stand, but that pip may use its cache and takes what settings of a proxy it has."""
    kept = {
        name: value for name, value in os.environ.items() if name.startswith("PIP_") or name.lower().endswith("_proxy")
    }
    environment = kept | {"PATH": PLAIN, "HOME": os.environ.get("HOME", "/")}
    for line in BUILD.splitlines():
        verb, _, rest = line.partition(" ")
        if verb == "COPY":
            *names, to = rest.split()
            for name in names:
                if (ROOT / name).is_dir():
                    shutil.copytree(ROOT / name, source / to, ignore=shutil.ignore_patterns("__pycache__"))
                else:
                    shutil.copy(ROOT / name, source / name)
        elif verb == "RUN":
            command = rest.replace("/opt/alignwatch", str(target)).replace("--no-cache-dir", "--quiet")
            # Debian has no `python`; the image's Python must be one that user 10001 may run.
            command = re.sub(r"^python ", "/usr/bin/python3 ", command)
            done = subprocess.run(
                ["sh", "-c", command],
                cwd=source,
                env=environment,
                timeout=500,
                check=False,
                capture_output=True,
                text=True,
            )
            if done.returncode and any(sign in done.stderr for sign in UNREACHABLE):
                missing(f"the package registry can't be reached: {done.stderr.strip().splitlines()[-1]}")
            assert done.returncode == 0, f"{command}\n{done.stderr[-2000:]}"


def missing(reason: str) -> None:
    """Skip, saying why; on CI (`CI=true`) that is a failure."""
    (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(reason)


def as_the_image_does(command: list[str], state: Path) -> list[str]:
    """The command as user 10001, with nothing to write on but /tmp and the state's folder; plainly where not root."""
    probe = ["unshare", "--mount", "sh", "-c", "mount -o remount,ro,bind /"]
    allowed = os.geteuid() == 0 and shutil.which("setpriv") and subprocess.run(probe, check=False, capture_output=True)
    if not allowed or allowed.returncode:
        return command
    os.chown(state, 10001, 10001)
    script = (
        'set -e; mount --bind "$0" "$0"; mount -t tmpfs tmpfs /tmp; mount -o remount,ro,bind /; cd "$0"; '
        'exec setpriv --reuid 10001 --regid 10001 --clear-groups --no-new-privs --bounding-set=-all "$@"'
    )
    return ["unshare", "--mount", "sh", "-c", script, str(state), *command]


def test_the_program_is_whole_and_its_dependencies_are_those_that_it_declares(image: Path) -> None:
    python = image / "bin" / "python"
    where = "import monitor, jinja2, kafka, onnxruntime; print(monitor.__file__, jinja2.__file__, kafka.__file__)"
    told = subprocess.run([python, "-c", where], cwd="/", capture_output=True, text=True, check=True)
    assert all(path.startswith(str(image)) for path in told.stdout.split())
    assert subprocess.run([python, "-m", "pip", "check"], capture_output=True, check=False).returncode == 0
    for arguments in (["--version"], ["config", "schema"], ["schema", "incident"]):
        subprocess.run([image / "bin" / "alignwatch", *arguments], cwd="/", check=True, capture_output=True, timeout=60)
    files = (
        "from monitor.http._app import STATIC; from monitor.report._page import STYLES; "
        "from monitor.page._render import TEMPLATES; from monitor.demo._corpus import load_corpus; load_corpus(); "
        "assert (STATIC / 'app.js').exists(); "
        "assert (TEMPLATES / 'page.html').exists(); assert all(path.exists() for path in STYLES)"
    )
    subprocess.run([python, "-c", files], cwd="/", check=True, timeout=60)


def test_it_runs_as_nobody_special_on_a_read_only_file_system(image: Path) -> None:
    assert re.search(r"^USER 10001:10001$", FINAL, re.MULTILINE)
    state = Path(tempfile.mkdtemp(prefix="alignwatch-state-", dir="/var/tmp"))
    environment = {"PATH": f"{image}/bin:{PLAIN}", "PYTHONDONTWRITEBYTECODE": "1", "PYTHONUNBUFFERED": "1"}
    program = f"{image}/bin/alignwatch"
    version = subprocess.run(
        as_the_image_does([program, "--version"], state), env=environment, capture_output=True, text=True, check=False
    )
    assert version.returncode == 0, version.stderr
    assert "alignwatch" in version.stdout
    command = as_the_image_does([program, "demo", "--port", "0", "--onset", "600"], state)
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as demo:
        try:
            url = address(demo)
            with urllib.request.urlopen(url, timeout=30) as answer:
                assert b"<title>" in answer.read()
            demo.send_signal(signal.SIGTERM)
            assert demo.wait(60) == 0
        finally:
            demo.kill()
            shutil.rmtree(state, ignore_errors=True)


def address(demo: subprocess.Popen[str]) -> str:
    """What the demo prints, once it is there."""
    said, end = "", time.monotonic() + DEMO_SECONDS
    while time.monotonic() < end:
        line = demo.stderr.readline()
        said += line
        if found := re.search(r"status page: (http\S+)", line):
            return found[1]
        assert line or demo.poll() is None, said
    raise AssertionError(said)
