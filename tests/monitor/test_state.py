from __future__ import annotations

import sqlite3
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignwatch import Incident
from monitor.errors import StateError
from monitor.sources import TopicPartition
from monitor.state import State

HERE = TopicPartition("traffic", 0)


def incident(identifier: str = "i-1") -> Incident:
    return Incident(
        id=identifier,
        deployment="d",
        verdict="unalignment",
        severity="critical",
        detected_at=datetime(2026, 11, 1, tzinfo=UTC),
    )


def test_everything_comes_back_after_reopening(tmp_path: Path) -> None:
    path = tmp_path / "state.sqlite3"
    with State(path) as state:
        assert state.fresh
        state.commit({"engine": b"abc"}, {HERE: 7}, [incident()], [(11, 5.0)])
    with State(path) as state:
        assert not state.fresh
        assert state.snapshot("engine") == b"abc"
        assert state.positions() == {HERE: 7}
        assert state.incidents() == [incident()]
        assert state.seen() == [(11, 5.0)]


def test_a_failing_outbox_rolls_everything_back(tmp_path: Path) -> None:
    def fail(connection: sqlite3.Connection) -> None:
        connection.execute("CREATE TABLE outbox_x(a)")
        raise sqlite3.OperationalError("database or disk is full")

    with State(tmp_path / "s.sqlite3") as state:
        state.commit({"engine": b"old"}, {HERE: 1})
        with pytest.raises(StateError, match="nothing was committed: database or disk is full"):
            state.commit({"engine": b"new"}, {HERE: 2}, within=fail)
        assert state.snapshot("engine") == b"old"
        assert state.positions() == {HERE: 1}
        state.commit({"engine": b"new"}, {HERE: 2})
        assert state.positions() == {HERE: 2}


def test_disk_full_commits_nothing_and_recovers(tmp_path: Path) -> None:
    with State(tmp_path / "s.sqlite3") as state:
        state.commit({"engine": b"old"}, {HERE: 1})
        pages = state.connection.execute("PRAGMA page_count").fetchone()[0]
        state.connection.execute(f"PRAGMA max_page_count={pages + 2}")
        with pytest.raises(StateError, match="full"):
            state.commit({"engine": b"x" * 1_000_000}, {HERE: 2})
        state.connection.execute("PRAGMA max_page_count=1000000")
        assert state.snapshot("engine") == b"old"
        state.commit({"engine": b"x" * 1_000_000}, {HERE: 2})
        assert state.positions() == {HERE: 2}


@pytest.mark.parametrize("content", [b"", b"not a database at all" * 100], ids=["empty", "garbage"])
def test_a_corrupt_file_is_refused_and_never_replaced(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "s.sqlite3"
    path.write_bytes(content)
    with pytest.raises(StateError, match=str(path)):
        State(path)
    assert path.read_bytes() == content


def test_a_damaged_snapshot_is_refused(tmp_path: Path) -> None:
    with State(tmp_path / "s.sqlite3") as state:
        state.commit({"engine": b"good"}, {})
        state.connection.execute("UPDATE snapshots SET body=?", (b"bad!",))
        with pytest.raises(StateError, match="does not match its digest"):
            state.snapshot("engine")


def test_another_format_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite3"
    with State(path) as state:
        state.connection.execute("UPDATE meta SET value='99' WHERE key='format'")
    with pytest.raises(StateError, match="format 99; this version reads format 1"):
        State(path)


@pytest.mark.parametrize("content", [b"", b"not a database at all" * 100], ids=["empty", "garbage"])
def test_a_lost_state_names_the_choice_and_is_kept_when_it_is_accepted(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "s.sqlite3"
    for number in (1, 2):
        path.write_bytes(content)
        with pytest.raises(StateError, match="restore it from a backup, or start anew on purpose with --accept-new-st"):
            State(path)
        with State(path, accept_new=True) as state:
            assert state.fresh
            assert state.snapshot("engine") is None
            state.commit({"engine": b"new"}, {HERE: 1})
        assert (tmp_path / f"s.sqlite3.damaged-{number}").read_bytes() == content
        path.unlink()


def test_accepting_a_new_state_changes_nothing_where_the_old_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite3"
    with State(path) as state:
        state.commit({"engine": b"old"}, {HERE: 1})
    with State(path, accept_new=True) as state:
        assert not state.fresh
        assert state.snapshot("engine") == b"old"


def test_a_file_that_nothing_was_committed_to_is_as_good_as_none(tmp_path: Path) -> None:
    with State(tmp_path / "s.sqlite3"):
        pass
    with State(tmp_path / "s.sqlite3") as state:
        assert state.fresh


def test_an_unreadable_snapshot_can_be_set_aside(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite3"
    with State(path) as state:
        state.commit({"engine": b"old"}, {HERE: 1})
        state.set_aside(StateError("the engine does not read it"))
        assert (state.fresh, state.positions()) == (True, {})
    with State(tmp_path / "s.sqlite3.damaged-1") as kept:
        assert kept.snapshot("engine") == b"old"


def test_an_older_format_is_migrated_in_one_step_and_a_copy_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "s.sqlite3"
    with State(path) as state:
        state.commit({"engine": b"old"}, {HERE: 7}, [], [(11, 5.0)])
    monkeypatch.setattr("monitor.state.FORMAT", 3)
    steps = {1: ("ALTER TABLE seen ADD COLUMN source TEXT",), 2: ("UPDATE seen SET source='traffic'",)}
    monkeypatch.setattr("monitor.state.MIGRATIONS", {**steps, 2: ("UPDATE seen SET absent=1",)})
    with pytest.raises(StateError, match="can't be opened: no such column"):
        State(path)
    monkeypatch.setattr("monitor.state.MIGRATIONS", steps)
    with State(path) as state:
        assert state.connection.execute("SELECT hash, source FROM seen").fetchall() == [(11, "traffic")]
        assert state.connection.execute("SELECT value FROM meta").fetchone() == ("3",)
        assert state.snapshot("engine") == b"old"
        assert state.positions() == {HERE: 7}
        assert state.size() > 0
    with sqlite3.connect(path.with_name("s.sqlite3.format-1")) as copy:
        assert copy.execute("SELECT value FROM meta").fetchone() == ("1",)
        assert [row[1] for row in copy.execute("PRAGMA table_info(seen)")] == ["hash", "timestamp"]
    copy.close()


@given(
    commits=st.lists(
        st.tuples(st.binary(max_size=64), st.dictionaries(st.integers(0, 5), st.integers(0, 2**40), max_size=3)),
        min_size=1,
        max_size=6,
    )
)
def test_state_holds_the_last_commit(commits: list[tuple[bytes, dict[int, int]]]) -> None:
    with State(None) as state:
        expected: dict[TopicPartition, int] = {}
        for body, offsets in commits:
            positions = {TopicPartition("t", number): offset for number, offset in offsets.items()}
            expected |= positions
            state.commit({"engine": body}, positions)
        assert state.snapshot("engine") == commits[-1][0]
        assert state.positions() == expected
