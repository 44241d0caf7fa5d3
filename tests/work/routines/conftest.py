from tests.work.issues.conftest import board, world

__all__ = ["board", "world"]
