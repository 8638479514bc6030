"""The category's layer, fitted anew on features: it finds what separates kinds, weighs labels, and needs every kind."""

from __future__ import annotations

import numpy as np
import pytest

from alignwatch import CATEGORIES
from classifiers.errors import ClassifierError
from classifiers.training.refit import Floats, category_layer

KINDS = len(CATEGORIES)
DIMENSIONS = 20


def drawn(count: int, seed: int) -> tuple[Floats, np.ndarray[tuple[int], np.dtype[np.int64]]]:
    """Features around one centre a kind, on scales and offsets that differ by a factor of a thousand."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(7).normal(size=(KINDS, DIMENSIONS))
    kinds = np.arange(count) % KINDS
    scales = np.geomspace(0.03, 30.0, DIMENSIONS)
    return ((centres[kinds] + 0.3 * rng.normal(size=(count, DIMENSIONS)) + 5.0) * scales).astype(np.float32), kinds


def named(layer: tuple[Floats, Floats], features: Floats) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    weights, biases = layer
    return (features @ weights.T + biases).argmax(1)


def test_the_layer_reads_the_features_as_they_are_whatever_their_scale():
    layer = category_layer(*drawn(5600, 1), np.ones(5600, dtype=np.float32))
    assert layer[0].shape == (KINDS, DIMENSIONS)
    assert layer[1].shape == (KINDS,)
    features, kinds = drawn(1400, 2)
    assert (named(layer, features) == kinds).mean() > 0.95


def test_labels_that_are_trusted_less_count_less():
    features, kinds = drawn(5600, 1)
    wrong = np.random.default_rng(3).random(len(kinds)) < 0.75
    stated = np.where(wrong, (kinds + 1) % KINDS, kinds)
    fresh, truth = drawn(1400, 2)
    believed = named(category_layer(features, stated, np.ones(len(kinds), dtype=np.float32)), fresh) == truth
    trust = np.where(wrong, 0.02, 1.0).astype(np.float32)
    doubted = named(category_layer(features, stated, trust), fresh) == truth
    assert believed.mean() < 0.5
    assert doubted.mean() > 0.9


def test_a_category_without_a_request_is_named():
    features, kinds = drawn(1400, 1)
    some = kinds != CATEGORIES.index("weapons")
    with pytest.raises(ClassifierError, match="weapons"):
        category_layer(features[some], kinds[some], np.ones(int(some.sum()), dtype=np.float32))
