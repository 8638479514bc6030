"""Pinned, approved baselines: fitted, stored, and turned into the limits that detectors bet against."""

from monitor.baseline.fit import fit, policy_of
from monitor.baseline.model import FORMAT, Baseline, KindCounts, load, save
from monitor.baseline.rates import StratumRates

__all__ = ["FORMAT", "Baseline", "KindCounts", "StratumRates", "fit", "load", "policy_of", "save"]
