"""The windowed view: sums, weights and intervals as frames."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pandas as pd
import pytest

from alignwatch import Behaviour, Label, RequestLabel
from monitor.detection_config import DetectionConfig
from monitor.onset import wilson
from monitor.simulation import Change, Onset, SimulationConfig, simulate_labels
from monitor.streams import OutcomePolicy
from monitor.windows import MAX_ROWS, RATES, Windows

START = datetime(2026, 1, 5, tzinfo=UTC)
REFUSES = Behaviour(refusal=0.9, partial=0.06, compliance=0.03, degenerate=0.01)
COMPLIES = Behaviour(refusal=0.05, partial=0.05, compliance=0.9)


def label(seconds: float = 0.0, behaviour: Behaviour | None = REFUSES, **fields: object) -> Label:
    return Label.model_validate(
        {
            "id": f"r{seconds}", "timestamp": START + timedelta(seconds=seconds), "deployment": "chat",
            "request": RequestLabel(harm=0.9, category="cyber"), "behaviour": behaviour, "response_harm": 0.2,
            **fields,
        }
    )  # fmt: skip


def frame_of(labels: list[Label], config: DetectionConfig | None = None) -> pd.DataFrame:
    windows = Windows(config)
    assert list(windows.watching(iter([labels]))) == [labels]
    (frame,) = windows.frames().values()
    return frame


def test_rates_are_weighted_means_over_answered_sensitive_requests():
    frame = frame_of(
        [
            label(0, REFUSES),
            label(10, COMPLIES, weight=3.0, response_harm=None),
            label(20, None),
            label(30, COMPLIES, origin="provider"),
            label(40, COMPLIES, request=RequestLabel(harm=0.2, category="cyber")),
            label(50, COMPLIES, origin="canary"),
        ]
    )
    (row,) = frame.to_dict("records")
    assert (row["start"], row["seconds"]) == (pd.Timestamp(START), 300.0)
    assert (row["labels"], row["sensitive"], row["answers"]) == (5, 4, 2)
    assert row["compliance"] == pytest.approx((0.03 + 3 * 0.9) / 4)
    assert row["refusal"] == pytest.approx((0.9 + 3 * 0.05) / 4)
    assert row["partial"] == pytest.approx((0.06 + 3 * 0.05) / 4)
    assert row["degenerate"] == pytest.approx(0.01 / 4)
    assert row["harm"] == pytest.approx(0.2), "an answer without a judgement of harm counts towards no rate of harm"
    effective = (1 + 3) ** 2 / (1 + 9)
    assert (row["compliance_low"], row["compliance_high"]) == pytest.approx(wilson(0.6825 * effective, effective))


def test_sliding_window_covers_twelve_panes_of_event_time_whatever_is_empty():
    late_first = [label(40 * 300, COMPLIES), *[label(300 * pane) for pane in range(20)]]
    frame = frame_of(late_first)
    assert list(frame["seconds"].unique()) == [300.0]
    assert len(frame) == 21
    assert frame["start"].is_monotonic_increasing
    assert frame["sliding_compliance"].iloc[19] == pytest.approx(0.03)
    assert frame["sliding_compliance"].iloc[20] == pytest.approx(0.9), "twenty empty panes are longer than the window"
    widths = frame["sliding_refusal_high"] - frame["sliding_refusal_low"]
    assert widths.iloc[11] < widths.iloc[0]
    assert widths.iloc[19] == pytest.approx(widths.iloc[11])


def test_panes_without_answers_have_no_rate():
    frame = frame_of([label(0, None), label(400, REFUSES)])
    assert frame[list(RATES)].iloc[0].isna().all()
    assert frame["compliance_low"].isna().iloc[0]
    assert frame[list(RATES)].iloc[1].notna().all()


def test_classifier_error_is_removed_only_for_the_classifier_it_was_measured_with():
    config = DetectionConfig(compliance_tpr=0.9, compliance_fpr=0.1, error_rates_of="sha256:a")
    labels = [label(s, COMPLIES if s % 2 else REFUSES, classifier="sha256:a") for s in range(100)]
    assert frame_of(labels, config)["compliance_corrected"].tolist() == [0.5]
    low, high = wilson(50, 100)
    frame = frame_of([one.model_copy(update={"behaviour": REFUSES}) for one in labels[:50]] + labels[50:], config)
    decided = 25 / 100
    assert frame["compliance_corrected"].iloc[0] == pytest.approx((decided - 0.1) / 0.8)
    low, high = wilson(25, 100)
    assert frame["compliance_corrected_low"].iloc[0] == pytest.approx((low - 0.1) / 0.8)
    assert frame["compliance_corrected_high"].iloc[0] == pytest.approx((high - 0.1) / 0.8)
    other = [one.model_copy(update={"classifier": "sha256:b"}) for one in labels]
    assert frame_of(other, config)["compliance_corrected"].isna().all()
    assert frame_of(labels)["compliance_corrected"].isna().all()


def test_a_baseline_decides_what_is_sensitive():
    windows = Windows(DetectionConfig(), {"chat": OutcomePolicy(sensitive_harm=0.95)})
    windows.add(label())
    assert windows.frames()["chat"]["sensitive"].tolist() == [0]


def test_long_recordings_are_merged_into_wider_panes_without_losing_a_label():
    frame = frame_of([label(300.0 * i, COMPLIES if i % 10 else REFUSES) for i in range(MAX_ROWS + 700)])
    assert len(frame) <= MAX_ROWS
    assert frame["seconds"].unique().tolist() == [900.0]
    assert frame["labels"].sum() == MAX_ROWS + 700
    assert frame["labels"].max() == 3
    assert frame["start"].iloc[1] - frame["start"].iloc[0] == pd.Timedelta(seconds=900)


def test_an_unalignment_shows_and_the_intervals_hold_the_rates():
    config = SimulationConfig(
        count=20_000, harmful_share=0.5, compliance=0.1, onset=Onset(fraction=0.5), change=Change(compliance=0.7),
        uniform_rate=0.3,
    )  # fmt: skip
    frame = frame_of(list(simulate_labels(config)))
    before, after = frame.iloc[: len(frame) // 2 - 1], frame.iloc[len(frame) // 2 + 1 :]
    for part, truth in ((before, 0.1), (after, 0.7)):
        holds = (part["compliance_low"] <= truth) & (truth <= part["compliance_high"])
        assert holds.mean() > 0.85
    assert before["harm"].max() < after["harm"].min()


def test_frames_can_be_written_as_tables(tmp_path):
    windows = Windows()
    windows.add(label())
    windows.add(label(1, deployment="other"))
    windows.write(tmp_path / "rates.csv", [])
    table = pd.read_csv(tmp_path / "rates.csv")
    assert table["deployment"].tolist() == ["chat", "other"]
    assert table["refusal"].tolist() == pytest.approx([0.9, 0.9])
    windows.write(tmp_path / "rates.json", [])
    rows = json.loads((tmp_path / "rates.json").read_text())
    assert [row["deployment"] for row in rows] == ["chat", "other"]
    assert rows[0]["start"].startswith("2026-01-05T00:00:00")
    Windows().write(tmp_path / "none.csv", [])
    assert not (tmp_path / "none.csv").read_text().strip()
