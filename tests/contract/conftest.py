from tests.generation.estate import estate  # noqa: F401
