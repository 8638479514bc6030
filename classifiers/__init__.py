"""Labels prompts and answers: a small ONNX classifier with its calibration, and the screen that runs before it."""

from classifiers.card import Card, FamilyRates, Rates, Thresholds, load_card, load_rates
from classifiers.errors import ArtefactInvalid, ArtefactMissing, ClassifierError, DigestMismatch
from classifiers.records import UNLABELABLE, Labeller, Pair, PairLabels, ReadAnswer, Unlabelable
from classifiers.runtime import Classifier, load_classifier
from classifiers.screen import Screen, load_screen

__all__ = [
    "UNLABELABLE",
    "ArtefactInvalid",
    "ArtefactMissing",
    "Card",
    "Classifier",
    "ClassifierError",
    "DigestMismatch",
    "FamilyRates",
    "Labeller",
    "Pair",
    "PairLabels",
    "Rates",
    "ReadAnswer",
    "Screen",
    "Thresholds",
    "Unlabelable",
    "load_card",
    "load_classifier",
    "load_rates",
    "load_screen",
]
