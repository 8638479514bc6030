"""The status page, rendered here and complete without a script; a script only keeps an open page fresh."""

from monitor.page._render import knows, render
from monitor.page._view import Links

__all__ = ["Links", "knows", "render"]
