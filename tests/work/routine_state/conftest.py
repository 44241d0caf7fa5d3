from tests.work.routine_runs.conftest import yard

__all__ = ["yard"]
