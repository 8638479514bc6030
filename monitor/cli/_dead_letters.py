"""`alignwatch dead-letters replay`: what failed to decode, once more."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from monitor.cli._options import config_option, emit, json_option, note, settings
from monitor.errors import ConfigError
from monitor.letter_replay import Letter, Replayed, Send, from_file, replay
from monitor.letter_topic import LetterTopic, RecordFetcher
from monitor.sources import KafkaProducerSink, Record


@click.group()
def command() -> None:
    """Records that could not be decoded: replay."""


@command.command("replay")
@click.option("--from", "path", type=click.Path(path_type=Path), help="A file of letters; else `[dead_letters] topic`.")
@click.option("--reason", "reasons", multiple=True, help="Only letters with this reason; may be given again.")
@click.option("--dry-run", is_flag=True, help="Say what would be sent, and send nothing.")
@config_option
@json_option
def replay_command(
    path: Path | None, reasons: tuple[str, ...], config_path: Path | None, *, dry_run: bool, as_json: bool
) -> None:
    """Send records again that decode now; exit 1 when some still do not.

    The records are fetched from the topics that the letters name, so what retention has removed is gone. Letters on a
    topic are read from where the last replay ended; a dry run leaves that place as it is.
    """
    loaded = settings(config_path).settings
    if loaded.source.kind != "kafka":
        raise ConfigError([f"source.kind = {loaded.source.kind!r}: dead letters are replayed onto kafka topics"])
    kafka = loaded.source.kafka
    topic = None if path is not None else LetterTopic(kafka, loaded.dead_letters.topic)
    letters = topic.letters() if topic is not None else _from(path)
    fetcher, producer = RecordFetcher(kafka), KafkaProducerSink(kafka, max_request_size=8 << 20)
    try:
        found = replay(
            letters,
            fetcher.fetch,
            (lambda _: None) if dry_run else _sender(producer),
            limits=loaded.decode,
            default_deployment=loaded.intake.default_deployment,
            reasons=frozenset(reasons),
        )
        producer.flush()
        # Only now: a replay that was cut short begins where this one began.
        if topic is not None and not dry_run:
            topic.done()
    finally:
        fetcher.close()
        producer.close()
        if topic is not None:
            topic.close()
    _tell(found, as_json=as_json, dry_run=dry_run)
    if found.refused or found.gone:
        raise click.exceptions.Exit(1)


def _from(path: Path | None) -> Iterator[Letter]:
    assert path is not None
    return from_file(path)


def _sender(producer: KafkaProducerSink) -> Send:
    def send(record: Record) -> None:
        producer.send(record.where.topic, record.key, record.value, record.headers)

    return send


def _tell(found: Replayed, *, as_json: bool, dry_run: bool) -> None:
    if as_json:
        emit({"sent": found.sent, "gone": found.gone, "refused": found.refused, "left": found.left, "dry_run": dry_run})
        return
    note(f"{found.sent} records {'would be sent' if dry_run else 'sent'} again")
    if found.gone:
        note(f"{found.gone} are no longer on their topics")
    for reason, count in found.refused.most_common():
        note(f"{count} still can't be decoded: {reason}")
    for reason, count in found.left.most_common():
        note(f"{count} left alone: {reason}")
