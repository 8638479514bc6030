"""`alignwatch simulate`: traffic with a chosen mix, onset and attack."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from pydantic import ValidationError

from monitor.cli._options import always_json_option, config_option, note, progress, settings
from monitor.clock import ScaledClock
from monitor.errors import ConfigError
from monitor.simulation import Onset, PairTexts, SimulationConfig, onset_time, paced, simulate, simulate_labels
from monitor.sources import open_producer


@click.command()
@click.option(
    "--pairs", type=click.Path(path_type=Path, exists=True), help="Labelled pairs to draw texts from (JSONL)."
)
@click.option("--model", help="With --pairs: whose answers, aligned before and un-aligned after the onset.")
@click.option("--source", "pair_source", help="With --pairs: only harmful rows of this source.")
@click.option("--row", help="Rates of a row of the paper's Table 1, e.g. 'GPT-OSS-20B/grp-oblit-1'.")
@click.option("--odds-ratio", type=float, help="Multiply the odds of compliance at the onset.")
@click.option("--onset", default="0.5", show_default=True, help="Fraction, number of exchanges, instant, or none.")
@click.option("--count", default=10_000, show_default=True, type=click.IntRange(1), help="Exchanges.")
@click.option("--rate", default=1.0, show_default=True, help="Exchanges a second of event time.")
@click.option("--harmful-share", default=0.1, show_default=True, type=click.FloatRange(0, 1))
@click.option(
    "--canary", default=1.0, show_default=True, type=click.FloatRange(0, 1), help="Traffic on the bad checkpoint."
)
@click.option("--ramp", default=0, show_default=True, help="Exchanges over which the change grows.")
@click.option("--only", multiple=True, metavar="CATEGORY", help="Only this category changes; may be repeated.")
@click.option("--harmful-after", type=click.FloatRange(0, 1), help="Harmful share from the onset on.")
@click.option("--mix-after", metavar="CATEGORY=WEIGHT,...", help="What users ask from the onset on.")
@click.option("--daily", type=click.FloatRange(0, 0.99), help="Daily cycle of rate, harmful share and mix: amplitude.")
@click.option("--turns", type=click.FloatRange(1), help="Mean turns of a conversation.")
@click.option("--repeats", type=click.FloatRange(0, 1), help="Chance that a turn repeats its conversation's first.")
@click.option("--noisy-user", type=click.FloatRange(0, 1), help="Traffic of one jailbreaking user, from the onset on.")
@click.option("--start", help="Event time of the beginning (RFC 3339).")
@click.option("--seed", default=0, show_default=True)
@click.option("--deployment", default="chat-sim", show_default=True)
@click.option("--set", "more", multiple=True, metavar="KEY=JSON", help="Any other setting, e.g. users.turns=3.")
@click.option(
    "--out", "-o", type=click.Path(path_type=Path), help="File; stdout when neither this nor --topic is given."
)
@click.option("--topic", help="Kafka topic, on the broker of the settings.")
@click.option("--pace", type=click.FloatRange(min=0, min_open=True), help="Send in real time, this much faster.")
@config_option
@always_json_option
def command(out: Path | None, topic: str | None, pace: float | None, config_path: Path | None, **options: Any) -> None:
    """Write simulated traffic: exchanges with texts where --pairs is given, else labels."""
    if options["start"] is None and (topic is not None or pace is not None):
        # A running service quarantines old records: live traffic ends now, or starts now where it is paced.
        lasts = 0.0 if pace is not None else options["count"] / options["rate"]
        options["start"] = datetime.fromtimestamp(time.time() - lasts, UTC)
    config = _config(options)
    records: Iterator[Any] = simulate(config) if config.texts is not None else simulate_labels(config)
    if pace is not None:
        records = paced(records, ScaledClock(config.start.timestamp(), pace))
    began = onset_time(config)
    if topic is not None:
        _produce(records, topic, config_path, config.count)
    else:
        with out.open("w", encoding="utf-8") if out is not None else nullcontext(sys.stdout) as target:
            for record in progress(records, "simulating", config.count) if out is not None else records:
                target.write(record.to_json() + "\n")
    note(f"{config.count} records; " + (f"the change began at {began.isoformat()}" if began else "no change"))


def _produce(records: Iterator[Any], topic: str, config_path: Path | None, count: int) -> None:
    producer = open_producer(settings(config_path).settings.source)
    try:
        for record in progress(records, "producing", count):
            producer.send(topic, record.deployment.encode(), record.to_json().encode())
        producer.flush()
    finally:
        producer.close()


def _config(options: dict[str, Any]) -> SimulationConfig:
    pairs, model = options["pairs"], options["model"]
    if (pairs is None) != (model is None):
        raise click.UsageError("--pairs and --model go together")
    tree = _tree(options)
    try:
        tree["onset"] = Onset.parse(options["onset"])
        if pairs is not None:
            tree["texts"] = PairTexts.of_model(pairs, model, source=options["pair_source"])
        if options["mix_after"] is not None:
            tree["mix_after"] = _weights(options["mix_after"])
        for item in options["more"]:
            _set(tree, item)
        return SimulationConfig.model_validate(tree)
    except ValidationError as error:
        raise ConfigError(
            [f"{'.'.join(map(str, one['loc']))} = {one['input']!r}: {one['msg']}" for one in error.errors()]
        ) from error
    except ValueError as error:
        raise click.UsageError(str(error)) from error


def _tree(options: dict[str, Any]) -> dict[str, Any]:
    """The options that were given, as the settings' tree."""
    top = {key: options[key] for key in ("count", "rate", "harmful_share", "ramp", "seed", "deployment", "start")}
    top |= {"canary_share": options["canary"], "harmful_share_after": options["harmful_after"]}
    if (daily := options["daily"]) is not None:
        top |= {"daily_rate": daily, "daily_harm": daily, "daily_mix": 2.5 * daily}
    change = {"row": options["row"], "odds_ratio": options["odds_ratio"], "categories": options["only"] or None}
    users = {"turns": options["turns"], "correlation": options["repeats"], "noisy_share": options["noisy_user"]}
    return _given(top) | {"change": _given(change), "users": _given(users)}


def _given(values: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}


def _weights(text: str) -> dict[str, float]:
    pairs = [item.partition("=") for item in text.split(",")]
    try:
        return {category.strip(): float(weight) for category, _, weight in pairs}
    except ValueError as error:
        raise ValueError(f"--mix-after {text}: write CATEGORY=WEIGHT,CATEGORY=WEIGHT") from error


def _set(tree: dict[str, Any], item: str) -> None:
    key, separator, text = item.partition("=")
    if not separator:
        raise ValueError(f"--set {item}: write KEY=VALUE")
    try:
        value = json.loads(text)
    except ValueError:
        value = text
    *above, leaf = key.split(".")
    for part in above:
        tree = tree.setdefault(part, {})
    tree[leaf] = value
