"""The report of a replay: one HTML file with plots for a post-mortem, readable for years without anything else.

It holds figures, names and ids; no text of prompts or answers, no script, and no asset from elsewhere.
"""

from monitor.report._page import render, write_report

__all__ = ["render", "write_report"]
