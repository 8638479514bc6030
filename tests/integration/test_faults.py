"""The short form of `make faults`: a few faults of different kinds in a small stream."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from conftest import unavailable
from kafka_broker import BrokerUnavailableError

sys.path.insert(0, str(Path(__file__).parents[1] / "faults"))

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.mark.skipif(sys.platform != "linux", reason="a full disk is simulated with prlimit, which Linux alone has")
def test_what_faults_leave_equals_an_undisturbed_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from fault_run import FaultRun  # noqa: PLC0415 - after the path

    try:
        run = FaultRun(tmp_path, exchanges=10_000, faults=6, seed=3, say=print)
    except BrokerUnavailableError as error:
        unavailable(f"Kafka can't be started here: {error}")
    report = run.run()
    with capsys.disabled():
        # Not stdout, which a worker of pytest-xdist has none of.
        print(f"\n{report}", file=sys.stderr)
    assert report.exchanges >= 9_900
    assert sum(report.faults.values()) == 6
    assert report.incidents >= 3, "the traffic changes in a third of the deployments"
    assert report.passed, str(report)
