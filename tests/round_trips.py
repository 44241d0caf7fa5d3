"""What connections are sent: a round trip each."""

import asyncio
from collections.abc import Iterator, Set
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import pytest

from resolvers.kernel.store.connection import Connection

WITHIN: ContextVar[bool] = ContextVar("within", default=False)
"""Whether this task is within a statement that was counted."""


@contextmanager
def sent(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The first words of what connections are sent meanwhile, a round trip each; `+` where BEGIN travels with it. What
    a server does by itself, in tasks that were there before, is not counted.
    """
    made: list[str] = []
    others = asyncio.all_tasks() - {asyncio.current_task()}
    with monkeypatch.context() as patched:
        for name in ("execute", "fetch", "fetchrow"):
            _spy(patched, name, "", made, others)
        _spy(patched, "begin_with", "+", made, others)
        yield made


def _spy(patched: pytest.MonkeyPatch, name: str, sign: str, made: list[str], others: Set[Any]) -> None:
    real = getattr(Connection, name)

    async def spied(self: Connection, sql: str, *args: Any, **options: Any) -> Any:
        if WITHIN.get() or asyncio.current_task() in others:
            return await real(self, sql, *args, **options)
        made.append(sign + sql.split(maxsplit=1)[0])
        outer = WITHIN.set(True)
        try:
            return await real(self, sql, *args, **options)
        finally:
            WITHIN.reset(outer)

    patched.setattr(Connection, name, spied)
