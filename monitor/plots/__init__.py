"""Plots as SVG, drawn once for the report and for the status page; `static/plots.css` gives them their colours."""

from monitor.plots.frame import Frame, flags, onset_band, rate_axis, time_axis
from monitor.plots.lines import band_path, line, path, runs, stretches
from monitor.plots.markup import Markup, clean, e, join
from monitor.plots.small import bar, dumbbell, key

__all__ = [
    "Frame", "Markup", "band_path", "bar", "clean", "dumbbell", "e", "flags", "join", "key", "line", "onset_band",
    "path", "rate_axis", "runs", "stretches", "time_axis",
]  # fmt: skip
