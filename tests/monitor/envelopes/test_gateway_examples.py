"""The examples in deploy/gateways: ours pass the program's checks, theirs point at routes and topics that exist."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

from monitor.config import load
from monitor.http._door import JSON_ROUTES, OTLP_ROUTES

FOLDER = Path(__file__).parents[3] / "deploy" / "gateways"
ROUTES = {f"/v1/{name}" for name in (*JSON_ROUTES, *OTLP_ROUTES, "cloudevents")}


@pytest.mark.parametrize("name", ["alignwatch-http.toml", "alignwatch-kafka.toml"])
def test_our_own_examples_are_sound(name):
    settings = load(FOLDER / name, {}).settings
    assert settings.source.faults() == []
    assert settings.source.kind in name


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.y*ml")), ids=lambda path: path.name)
def test_gateways_examples_parse_and_deliver_to_where_we_listen(path):
    text = path.read_text()
    assert list(yaml.safe_load_all(text))
    for host, route in re.findall(r"http://(alignwatch|127\.0\.0\.1):8077(/[\w/]+)?", text):
        assert not route or route in ROUTES, (host, route)
    topics = set(re.findall(r"topic: ([\w.]+)", text))
    assert topics <= set(load(FOLDER / "alignwatch-kafka.toml", {}).settings.source.kafka.topics)
    assert "8077" in text or topics or "otel-collector" in text


def test_the_bedrock_example_is_what_the_aws_command_takes():
    config = json.loads((FOLDER / "bedrock-logging.json").read_text())["loggingConfig"]
    assert config["textDataDeliveryEnabled"] is True


def test_the_readme_names_every_file():
    told = (FOLDER / "README.md").read_text()
    for path in FOLDER.iterdir():
        assert path.name in told or path.name in {"README.md", "alignwatch-http.toml"}, path.name
