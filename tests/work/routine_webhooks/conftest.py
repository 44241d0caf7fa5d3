from tests.work.issues.conftest import board, world
from tests.work.routine_runs.conftest import yard

__all__ = ["board", "world", "yard"]
