"""Connections to PostgreSQL, also to the one of several servers that takes writes.

asyncpg asks the servers of an address one after the other within one time limit. A host that vanished answers nothing,
so it would use up the time, and the server that was promoted in its place would never be asked.
"""

import asyncio
from typing import Any, TypeAlias

import asyncpg

from models.address import Address

PATIENCE = 60.0  # seconds, as asyncpg has it
APART = 0.5  # seconds without an answer, after which the next server is asked, too
Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
Host = tuple[str, int]
_answered: dict[tuple[Host, ...], Host] = {}  # the server that was taken last is asked first


async def open_connection(dsn: str, *, timeout: float = PATIENCE, **options: Any) -> Connection:  # noqa: ASYNC109 - asyncpg's
    """asyncpg's `connect`. `dsn` names one server, or several, of which one has its `target_session_attrs`.

    Raises OSError if none can be reached, or none has them.
    """
    hosts = Address.read(dsn).hosts
    if len(hosts) > 1:
        async with asyncio.timeout(timeout):
            return await _first(dsn, hosts, options)
    try:
        return await asyncpg.connect(dsn, timeout=timeout, **options)
    except asyncpg.TargetServerAttributeNotMatched as error:
        raise _unsuitable(dsn) from error


async def _first(dsn: str, hosts: tuple[Host, ...], options: dict[str, Any]) -> Connection:
    """The first server that answers and is suitable."""
    waiting = sorted(hosts, key=lambda host: host != _answered.get(hosts))
    asked: dict[asyncio.Task[Connection], Host] = {}
    errors: list[BaseException] = []
    try:
        while waiting or asked:
            if waiting:
                host = waiting.pop(0)
                asked[asyncio.create_task(_ask(dsn, host, options))] = host
            done, _ = await asyncio.wait(asked, timeout=APART if waiting else None, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                error = task.exception()
                if error is None:
                    _answered[hosts] = asked.pop(task)
                    return task.result()
                del asked[task]
                errors.append(error)
    finally:
        await _leave(asked)
    raise _telling(dsn, errors)


async def _ask(dsn: str, host: Host, options: dict[str, Any]) -> Connection:
    name, port = host
    return await asyncpg.connect(dsn, host=name, port=port, **options)


async def _leave(asked: dict[asyncio.Task[Connection], Host]) -> None:
    """Ends the other tries, and what they brought meanwhile."""
    for task in asked:
        task.cancel()
    for found in await asyncio.gather(*asked, return_exceptions=True):
        if not isinstance(found, BaseException):
            found.terminate()


def _telling(dsn: str, errors: list[BaseException]) -> BaseException:
    """The refusal by a server, if there is one; else that none can be reached."""
    said = [error for error in errors if isinstance(error, asyncpg.PostgresError)]
    if said:
        return said[0]
    if any(isinstance(error, asyncpg.TargetServerAttributeNotMatched) for error in errors):
        return _unsuitable(dsn)
    return errors[-1]


def _unsuitable(dsn: str) -> ConnectionError:
    address = Address.read(dsn)
    return ConnectionError(f"no server of {address.place} is {address.parameters.get('target_session_attrs', 'any')}")
