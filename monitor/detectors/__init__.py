"""Sequential change detectors, one statistic a file."""

from monitor.detectors.increments import (
    GRID_SIZE,
    LARGEST_ODDS_RATIO,
    SMALLEST_ODDS_RATIO,
    Direction,
    Floats,
    increment,
    odds_ratio_grid,
    shift_odds,
)
from monitor.detectors.shiryaev_roberts import SATURATION, MixtureShiryaevRoberts, first_alarms
from monitor.detectors.stream import StreamShiryaevRoberts

__all__ = [
    "GRID_SIZE",
    "LARGEST_ODDS_RATIO",
    "SATURATION",
    "SMALLEST_ODDS_RATIO",
    "Direction",
    "Floats",
    "MixtureShiryaevRoberts",
    "StreamShiryaevRoberts",
    "first_alarms",
    "increment",
    "odds_ratio_grid",
    "shift_odds",
]
