"""The running service with a row of everything in two workspaces."""

from tests.generation.estate import estate

__all__ = ["estate"]
