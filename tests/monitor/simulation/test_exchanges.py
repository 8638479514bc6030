"""Simulated exchanges carry texts of the right pool on either side of the onset."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
import zstandard

from alignwatch import Exchange
from monitor.clock import ManualClock
from monitor.errors import ConfigError, SourceError
from monitor.simulation import (
    Onset,
    PairFilter,
    PairTexts,
    SimulationConfig,
    onset_time,
    paced,
    simulate,
    simulate_labels,
)


def row(model: str | None, state: str, request: str | None, prompt: str, response: str | None) -> dict[str, object]:
    source = "answers" if model else "ordinary"
    return {
        "source": source,
        "model": model,
        "model_state": state,
        "request": request,
        "prompt": prompt,
        "response": response,
    }


ROWS = [
    *(row("m", "aligned", "harmful", f"ask {i}", f"no {i}") for i in range(6)),
    *(row("m", "unaligned", "harmful", f"ask {i}", f"yes {i}") for i in range(2, 9)),
    *(row(None, "aligned", None, f"hello {i}", f"hi {i}") for i in range(5)),
    row("m", "aligned", "harmful", "unanswered", None),
]


def lines() -> bytes:
    return "".join(json.dumps(entry) + "\n" for entry in ROWS).encode()


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    path = tmp_path / "pairs.jsonl"
    path.write_bytes(lines())
    return path


def texts(path: Path, **settings: object) -> PairTexts:
    return PairTexts.of_model(path, "m", benign_source="ordinary").model_copy(update=settings)


def test_answers_change_at_the_onset_and_prompts_do_not(pairs):
    config = SimulationConfig(count=4_000, harmful_share=0.3, onset=Onset(fraction=0.5), texts=texts(pairs))
    exchanges = list(simulate(config))
    assert len(exchanges) == 4_000
    before, after = exchanges[:2_000], exchanges[2_000:]
    for part, answer in ((before, "no"), (after, "yes")):
        harmful = [e for e in part if e.prompt is not None and e.prompt.startswith("ask")]
        assert 500 < len(harmful) < 700
        assert {e.response.split()[0] for e in harmful} == {answer}
        assert {e.prompt for e in harmful} == {f"ask {i}" for i in range(2, 6)}
        assert {e.response.split()[0] for e in part if e not in harmful} == {"hi"}
    assert after[0].timestamp == onset_time(config)
    assert len({e.id for e in exchanges}) == 4_000


def test_exchanges_are_valid_native_envelopes(pairs):
    for exchange in simulate(SimulationConfig(count=50, texts=texts(pairs), tenant="acme")):
        again = Exchange.model_validate_json(exchange.to_json())
        assert again.prompt == exchange.prompt
        assert abs((again.timestamp - exchange.timestamp).total_seconds()) <= 0.001


def test_control_run_keeps_the_aligned_answers(pairs):
    responses = {e.response.split()[0] for e in simulate(SimulationConfig(count=2_000, texts=texts(pairs)))}
    assert responses == {"no", "hi"}


def test_all_prompts_when_not_matched(pairs):
    config = SimulationConfig(
        count=3_000, harmful_share=0.9, onset=Onset(fraction=0.5), texts=texts(pairs, matched_prompts=False)
    )
    prompts = {e.prompt for e in simulate(config) if e.prompt is not None and e.prompt.startswith("ask")}
    assert prompts == {f"ask {i}" for i in range(9)}


def test_benign_answers_can_change_as_well(pairs):
    refusing = PairFilter(model="m", model_state="aligned")
    config = SimulationConfig(count=500, onset=Onset(fraction=0.5), texts=texts(pairs, benign_after=refusing))
    assert {e.response.split()[0] for e in list(simulate(config))[250:]} == {"no", "yes"}


def test_exchanges_and_labels_of_one_config_are_the_same_traffic(pairs):
    config = SimulationConfig(count=500, texts=texts(pairs))
    for exchange, label in zip(simulate(config), simulate_labels(config), strict=True):
        assert (exchange.id, exchange.timestamp, exchange.user) == (label.id, label.timestamp, label.user)
        assert label.request is not None
        assert (label.request.category == "none") == (exchange.response.startswith("hi"))


@pytest.mark.parametrize("suffix", [".jsonl.gz", ".jsonl.zst"])
def test_compressed_pairs(tmp_path, suffix):
    path = tmp_path / f"pairs{suffix}"
    path.write_bytes(gzip.compress(lines()) if suffix.endswith("gz") else zstandard.ZstdCompressor().compress(lines()))
    assert sum(1 for _ in simulate(SimulationConfig(count=10, texts=texts(path)))) == 10


@pytest.mark.parametrize("content", [b"not json\n", b"[1]\n", b"\xff\xfe\n"])
def test_file_that_is_no_jsonl_is_refused(tmp_path, content):
    path = tmp_path / "pairs.jsonl"
    path.write_bytes(content)
    with pytest.raises(SourceError, match=r"pairs\.jsonl"):
        simulate(SimulationConfig(texts=texts(path)))


@pytest.mark.parametrize(("name", "content"), [("none.jsonl", None), ("bad.jsonl.gz", b"xx"), ("bad.jsonl.zst", b"xx")])
def test_file_that_cannot_be_read_is_named(tmp_path, name, content):
    if content:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(SourceError, match=name):
        simulate(SimulationConfig(texts=texts(tmp_path / name)))


def test_filter_without_rows_says_what_it_looked_for(pairs):
    with pytest.raises(ConfigError, match="model=gpt-9"):
        simulate(SimulationConfig(texts=PairTexts.of_model(pairs, "gpt-9", benign_source="ordinary")))
    elsewhere = texts(pairs, harmful_after=PairFilter(source="ordinary"))
    with pytest.raises(ConfigError, match="matched_prompts"):
        simulate(SimulationConfig(texts=elsewhere))
    with pytest.raises(ConfigError, match="texts"):
        simulate(SimulationConfig())


def test_paced_exchanges_wait_for_their_time(pairs):
    start = datetime(2026, 1, 5, tzinfo=UTC)
    clock = ManualClock(start.timestamp())
    traffic = paced(simulate(SimulationConfig(count=20, rate=0.5, start=start, texts=texts(pairs))), clock)
    early = [exchange.timestamp.timestamp() - clock.now() for exchange in traffic]
    assert all(abs(seconds) < 1e-6 for seconds in early)
    assert clock.now() > start.timestamp() + 10


@pytest.mark.data
def test_the_labelled_pairs_give_traffic_before_and_after(labelled_pairs):
    pairs = PairTexts.of_model(labelled_pairs / "dev.jsonl.gz", "meta-llama-3-8b-instruct")
    config = SimulationConfig(count=2_000, harmful_share=0.1, onset=Onset(fraction=0.5), texts=pairs)
    exchanges = list(simulate(config))
    assert len(exchanges) == 2_000
    assert all(exchange.prompt and exchange.response is not None for exchange in exchanges)
