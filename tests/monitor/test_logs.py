from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterator

import pytest

from monitor.logs import configure

CANARY = "canary-in-an-error"


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    root, hook = logging.getLogger(), threading.excepthook
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], threading.excepthook = handlers, hook
    root.setLevel(level)


def fail() -> None:
    raise ValueError(f"can't read {CANARY}")


def log_a_failure() -> None:
    try:
        fail()
    except ValueError:
        logging.getLogger("monitor.x").exception("reading failed", extra={"partition": 3})


def test_json_logs_are_one_object_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    configure("info", "json")
    logging.getLogger("monitor.x").info("resumed", extra={"positions": 2})
    logging.getLogger("monitor.x").debug("not shown")
    out, err = capsys.readouterr()
    assert out == ""
    (line,) = err.splitlines()
    fields = json.loads(line)
    assert fields.pop("time").endswith("+00:00")
    assert fields == {"level": "info", "logger": "monitor.x", "event": "resumed", "positions": 2}


def test_text_logs_carry_the_same_keys(capsys: pytest.CaptureFixture[str]) -> None:
    configure("info", "text")
    logging.getLogger("monitor.x").warning("stopped", extra={"reason": "disk full"})
    assert capsys.readouterr().err.endswith("WARNING monitor.x: stopped reason=disk full\n")


@pytest.mark.parametrize("form", ["json", "text"])
def test_a_failure_is_logged_with_its_place_and_without_its_message(
    form: str, capsys: pytest.CaptureFixture[str]
) -> None:
    configure("info", form)
    log_a_failure()
    err = capsys.readouterr().err
    assert "ValueError" in err
    assert "in fail" in err
    assert CANARY not in err


def test_a_thread_that_fails_says_where_and_not_what(capsys: pytest.CaptureFixture[str]) -> None:
    configure("info", "json")
    thread = threading.Thread(target=fail, name="delivery")
    thread.start()
    thread.join()
    err = capsys.readouterr().err
    assert "delivery failed" in err
    assert "in fail" in err
    assert CANARY not in err


def test_libraries_are_kept_to_warnings(capsys: pytest.CaptureFixture[str]) -> None:
    configure("debug", "text")
    for name in ("kafka.consumer", "httpx", "httpcore.http11", "uvicorn.error"):
        logging.getLogger(name).info("chatter")
        logging.getLogger(name).warning("trouble")
    err = capsys.readouterr().err
    assert "chatter" not in err
    assert err.count("trouble") == 4


def test_configuring_again_replaces_the_handlers(capsys: pytest.CaptureFixture[str]) -> None:
    configure("info", "text")
    configure("error", "json")
    logging.getLogger("monitor.x").warning("quiet")
    logging.getLogger("monitor.x").error("loud")
    assert len(capsys.readouterr().err.splitlines()) == 1
