"""The `alignwatch` command: exit 0 fine, 1 finding, 2 bad usage or input, 3 inconclusive."""

from monitor.cli._main import main

__all__ = ["main"]
