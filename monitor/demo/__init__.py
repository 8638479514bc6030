"""Traffic of our own for the demo: mild requests, refused by a model that then quietly stops refusing."""

from monitor.demo._corpus import Entry, load_corpus
from monitor.demo._traffic import Scene, Traffic, exchanges_between

__all__ = ["Entry", "Scene", "Traffic", "exchanges_between", "load_corpus"]
