"""Traffic from labelled pairs or from rates, with a chosen mix, onset and attack: for drills and measurements."""

from monitor.simulation._exchanges import onset_time, paced, simulate
from monitor.simulation._labels import simulate_labels
from monitor.simulation._paper import PaperRow, category_rates, find_row, paper_rows
from monitor.simulation._plan import Chunk, draw
from monitor.simulation._rates import Checkpoint, Rules, attack_rows, compile_rules
from monitor.simulation.config import Change, Onset, PairFilter, PairTexts, SimulationConfig, Users

__all__ = [
    "Change",
    "Checkpoint",
    "Chunk",
    "Onset",
    "PairFilter",
    "PairTexts",
    "PaperRow",
    "Rules",
    "SimulationConfig",
    "Users",
    "attack_rows",
    "category_rates",
    "compile_rules",
    "draw",
    "find_row",
    "onset_time",
    "paced",
    "paper_rows",
    "simulate",
    "simulate_labels",
]
