"""Rows of the labelled pairs, made up."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from classifiers.training.rows import Row

BLANK = Row(
    id="x",
    source="source",
    licence="MIT",
    family="family",
    state=None,
    prompt="p",
    response="It is folded twice.",
    behaviour="compliance",
    request=None,
    response_harmful=None,
    category=None,
    language="en",
    label_by="human",
)


def row(**fields: Any) -> Row:
    """A complying answer by a model, human-labelled, with these fields instead."""
    return replace(BLANK, **fields)
