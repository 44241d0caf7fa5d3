from tests.reader.library import library  # noqa: F401
