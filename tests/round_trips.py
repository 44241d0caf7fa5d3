"""What connections are sent: a round trip each."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from resolvers.kernel.store.database import Connection


@contextmanager
def sent(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The first words of what connections are sent meanwhile, a round trip each; `+` where BEGIN travels with it."""
    made: list[str] = []
    with monkeypatch.context() as patched:
        for name in ("execute", "fetch", "fetchrow"):
            _spy(patched, name, "", made)
        _spy(patched, "begin_with", "+", made)
        yield made


def _spy(patched: pytest.MonkeyPatch, name: str, sign: str, made: list[str]) -> None:
    real = getattr(Connection, name)

    async def spied(self: Connection, sql: str, *args: Any, **options: Any) -> Any:
        made.append(sign + sql.split(maxsplit=1)[0])
        before = len(made)
        try:
            return await real(self, sql, *args, **options)
        finally:
            del made[before:]  # what it is made of

    patched.setattr(Connection, name, spied)
