"""Runs the command line in this process and keeps what it wrote apart: results on stdout, the rest on stderr."""

from __future__ import annotations

import io
import json
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

from monitor.cli._main import run


class Done(NamedTuple):
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[Any]:
        """stdout as JSON lines."""
        return [json.loads(line) for line in self.out.splitlines()]


def alignwatch(*arguments: str | Path, stdin: bytes = b"", expect: int | None = 0) -> Done:
    """Run `alignwatch ARGUMENTS`; `expect` None accepts any exit code."""
    out, err = io.StringIO(), io.StringIO()
    given = io.TextIOWrapper(io.BytesIO(stdin))
    with redirect_stdout(out), redirect_stderr(err), patch.object(sys, "stdin", given):
        code = run([str(one) for one in arguments])
    done = Done(code, out.getvalue(), err.getvalue())
    assert expect in {None, code}, f"exit {code}, expected {expect}\n{done.out[-2000:]}\n{done.err[-2000:]}"
    return done
