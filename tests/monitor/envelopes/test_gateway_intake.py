"""What gateways send, through the intake: every part is labelled, joined, or counted."""

from __future__ import annotations

import json
from typing import Any

import pytest
from exchanges import EPOCH, HashLabeller, native, record
from gateways import apisix, chat_request, chat_response, kserve_headers, litellm, span, spans

from alignwatch import Label
from classifiers import Pair, PairLabels
from monitor.clock import ManualClock
from monitor.dead_letters import MemoryDeadLetters
from monitor.dedup import SeenIds
from monitor.envelopes import DecodeLimits
from monitor.intake import ExchangeIntake, Guards, IntakeConfig
from monitor.labelling import LabellingStage
from monitor.metrics import Metrics
from monitor.sampling import Sampler, SamplingConfig
from monitor.sources import TopicPartition


class Unread(HashLabeller):
    """Says of a text without letters what the shipped classifier says, and of all else what a hash says."""

    def _one(self, pair: Pair) -> PairLabels:
        found = super()._one(pair)
        wanted = pair.read_answer == "always" and not (pair.response or "").strip()
        if pair.read_answer == "never":
            return PairLabels(found.request, None, None, None)
        return PairLabels(found.request, None, None, "empty") if wanted else found


class Rig:
    def __init__(self, **config: Any) -> None:
        self.letters = MemoryDeadLetters()
        self.metrics = Metrics()
        self.clock = ManualClock()
        self.clock.advance(EPOCH - self.clock.now())
        settings = IntakeConfig.model_validate({"default_deployment": "d"} | config)
        guards = Guards(settings, DecodeLimits(), SeenIds(3600.0), self.letters, self.metrics, self.clock)
        self.labeller = Unread()
        sampler = Sampler(SamplingConfig(), None, self.clock)
        self.intake = ExchangeIntake(guards, sampler, LabellingStage(self.labeller))
        self.offset = 0

    def read(self, *values: Any, **fields: Any) -> list[Label]:
        first, self.offset = self.offset, self.offset + len(values)
        return self.intake.read([record(value, first + n, **fields) for n, value in enumerate(values)])

    def series(self, name: str) -> dict[str, float]:
        text = self.metrics.exposition()[0].decode()
        return {
            line.rsplit(" ", 1)[0].removeprefix(f"alignwatch_{name}_total"): float(line.rsplit(" ", 1)[1])
            for line in text.splitlines()
            if line.startswith(f"alignwatch_{name}_total{{")
        }


def chat(**changes: Any) -> dict[str, Any]:
    return {"request": chat_request(), "response": chat_response(), "timestamp": EPOCH} | changes


def test_a_structured_refusal_is_one_whatever_its_text() -> None:
    rig = Rig()
    texts = {"said": chat_response("Of course.", refusal="I can't."), "silent": chat_response(None, refusal="")}
    for name, response in texts.items():
        (label,) = rig.read(chat(id=name, response=response))
        assert label.behaviour is not None
        assert (label.behaviour.name, label.behaviour.refusal, label.response_harm) == ("refusal", 1.0, 0.0)
        assert (label.origin, label.unlabelable) == ("model", None)


@pytest.mark.parametrize(("reason", "origin"), [("content_filter", "provider"), ("tool_calls", "model")])
def test_an_end_without_words_is_no_fault_of_the_data(reason: str, origin: str) -> None:
    rig = Rig()
    (label,) = rig.read(chat(id="r", response=chat_response("", reason)))
    assert (label.unlabelable, label.behaviour, label.origin) == (None, None, origin)
    assert label.request is not None
    (empty,) = rig.read(chat(id="s", response=chat_response("")))
    assert empty.unlabelable == "empty"


def test_ends_are_series_of_their_own_and_unknown_words_are_counted() -> None:
    rig = Rig()
    for number, reason in enumerate(
        ["stop", "length", "content_filter", "vendor_word", "vendor_word", "free text, odd"]
    ):
        rig.read(chat(id=f"r-{number}", response=chat_response("So.", reason)))
    rig.read(chat(id="refused", response=chat_response(None, refusal="No.")), apisix())
    by = {key.split('finish="')[1].split('"')[0]: int(n) for key, n in rig.series("exchanges_finished").items()}
    assert by == {"natural": 1, "length": 1, "provider_block": 1, "unknown": 3, "model_refusal": 1, "none": 1}
    assert rig.series("finish_reasons_unknown") == {'{reason="vendor_word"}': 2.0, '{reason="(other)"}': 1.0}


def test_upstream_verdicts_are_compared_with_ours_and_replace_nothing() -> None:
    rig = Rig()
    seen = 0
    for number in range(60):
        entry = chat(
            id=f"r-{number}", request=chat_request(messages=[{"role": "user", "content": f"Question {number}"}])
        )
        entry["response"]["prompt_filter_results"] = [
            {"content_filter_results": {"hate": {"filtered": False, "severity": "high"}}}
        ]
        (label,) = rig.read(entry)
        assert label.classifier is not None
        assert label.classifier.startswith("sha256:")
        seen += label.request is not None and label.request.category == "hate"
    assert 0 < seen < 60
    both = rig.series("upstream_verdicts")['{agreement="both",category="hate",deployment="d"}']
    upstream = rig.series("upstream_verdicts")['{agreement="upstream-only",category="hate",deployment="d"}']
    assert (both, both + upstream) == (seen, 60)
    ours = sum(n for key, n in rig.series("upstream_verdicts").items() if "ours-only" in key)
    assert ours > 0


def test_parts_that_need_be_no_exchange_are_counted() -> None:
    rig = Rig()
    assert rig.read(spans(span({"http.method": "GET"}), span({"gen_ai.request.model": "m"}))) == []
    assert rig.series("records_skipped") == {'{reason="not-a-model-call"}': 1.0, '{reason="no-content"}': 1.0}
    assert rig.letters.letters == []


def test_a_topic_may_mix_formats() -> None:
    rig = Rig()
    labels = rig.read(litellm(id="l", endTime=EPOCH), native(id="n"), apisix(), [native(id="a"), litellm(id="b")])
    assert [label.id for label in labels] == ["l", "n", "r-1", "a", "b"]


def half(rig: Rig, side: str, identifier: str = "k-1", where: int = 0) -> list[Label]:
    body = chat_request() if side == "request" else chat_response()
    part = TopicPartition("traffic", where)
    return rig.read(json.dumps(body).encode(), headers=kserve_headers(side, identifier), where=part)


def test_halves_hold_their_partition_back_until_they_are_whole() -> None:
    rig = Rig()
    assert half(rig, "request", where=1) == []
    rig.read(native())
    assert rig.intake.held() == {TopicPartition("traffic", 1): 0}
    assert rig.intake.waiting == 1
    (label,) = half(rig, "response")
    assert (label.id, label.deployment) == ("k-1", "default/llama")
    assert rig.intake.held() == {}


def test_a_half_whose_time_is_over_becomes_a_dead_letter_even_when_nothing_arrives() -> None:
    rig = Rig(join_seconds=30.0)
    half(rig, "request")
    rig.clock.advance(29.0)
    assert rig.intake.held() != {}
    rig.clock.advance(1.0)
    assert rig.intake.held() == {}
    (letter,) = rig.letters.letters
    assert (letter.fields["reason"], letter.fields["offset"]) == ("unpaired", 0)
    assert rig.metrics.counters().dead_letters == {"unpaired": 1}
    assert not rig.letters.breaker_open


def test_the_join_buffer_is_bounded() -> None:
    rig = Rig(join_capacity=3)
    for number in range(10):
        half(rig, "request", f"k-{number}")
    assert rig.intake.waiting == 3
    assert rig.metrics.counters().dead_letters == {"unpaired": 7}
