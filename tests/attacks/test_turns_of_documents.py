"""New documents wait in turns: what an address or a user may take of the threads that read them."""

import asyncio
import threading
import time
from functools import partial
from typing import Any

import pytest

from resolvers.errors import Code, Refusal
from resolvers.identity.caller import Caller
from schema.bridge import documents
from schema.bridge.worker import Budget, Party, Who, Worker
from tests.attacks.graphql import post
from tests.world import World

pytestmark = pytest.mark.anyio

FORGED = {"authorization": "Bearer crewship_cli_" + "0" * 64}
BAD_SESSION = {"authorization": "Bearer a.b.c"}


def who(key: str, is_user: bool = True) -> Who:
    return Who(Caller.nobody(), Party(is_user, key))


async def test_work_that_waits_is_bounded_and_the_crowd_makes_room() -> None:
    worker, go = Worker(most=3), threading.Event()
    waiting = [asyncio.create_task(worker.run(partial(go.wait, 30), who("crowd"))) for _ in range(3)]
    await asyncio.sleep(0.01)
    newcomer = asyncio.create_task(worker.run(lambda: "served", who("newcomer")))
    with pytest.raises(Refusal) as refused:
        await waiting[2]
    assert refused.value.code is Code.UNAVAILABLE
    with pytest.raises(Refusal):
        await worker.run(lambda: None, who("crowd"))
    go.set()
    assert await asyncio.gather(*waiting[:2]) == [True] * 2
    assert await newcomer == "served"
    assert await worker.run(lambda: 7, who("crowd")) == 7
    with pytest.raises(ZeroDivisionError):
        await worker.run(lambda: 1 // 0, who("crowd"))
    assert await worker.run(lambda: 8, who("crowd")) == 8


async def test_each_key_takes_turns_and_users_wait_behind_no_stranger() -> None:
    worker, go, order = Worker(), threading.Event(), list[str]()
    held = asyncio.create_task(worker.run(partial(go.wait, 30), who("a", False)))
    await asyncio.sleep(0.01)
    others = [asyncio.create_task(worker.run(partial(order.append, key), who(key, False))) for key in "aaabc"]
    assert await worker.run(lambda: "user", who("u")) == "user"
    assert order == []
    go.set()
    await asyncio.gather(held, *others)
    assert order == ["a", "b", "c", "a", "a"]


async def test_a_request_that_left_costs_nothing() -> None:
    worker, go, done = Worker(), threading.Event(), list[int]()
    held = asyncio.create_task(worker.run(partial(go.wait, 30), who("a")))
    await asyncio.sleep(0.01)
    left = asyncio.create_task(worker.run(partial(done.append, 1), who("b")))
    await asyncio.sleep(0.01)
    left.cancel()
    go.set()
    await held
    assert await worker.run(lambda: 2, who("b")) == 2
    assert done == []


async def test_a_request_that_left_makes_room_without_a_fault() -> None:
    worker, go = Worker(most=2), threading.Event()
    held = asyncio.create_task(worker.run(partial(go.wait, 30), who("a")))
    await asyncio.sleep(0.01)
    left = asyncio.create_task(worker.run(lambda: 1, who("a")))
    await asyncio.sleep(0.01)
    left.cancel()
    await asyncio.sleep(0.01)
    newcomer = asyncio.create_task(worker.run(lambda: 2, who("b")))
    await asyncio.sleep(0.01)
    go.set()
    assert (await held, await newcomer) == (True, 2)


async def test_a_stranger_has_so_much_time_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr("schema.bridge.worker.monotonic", lambda: now[0])
    budget = Budget(allowed=1.0)
    assert budget.left("a") == 1.0
    budget.charge("a", 1.5)
    assert budget.left("a") == -0.5
    assert budget.left("b") == 1.0
    now[0] += 30
    assert budget.left("a") == pytest.approx(0.0)
    now[0] += 3600
    assert budget.left("a") == 1.0


async def test_who_has_used_up_the_time_is_refused_and_users_are_not() -> None:
    def work() -> None:
        until = time.thread_time() + 0.02
        while time.thread_time() < until:
            pass

    worker = Worker(allowed=0.03)
    for _ in range(2):
        await worker.run(work, who("a", False))
    with pytest.raises(Refusal) as refused:
        await worker.run(work, who("a", False))
    assert refused.value.code is Code.RATE_LIMITED
    await worker.run(work, who("b", False))
    for _ in range(5):
        await worker.run(work, who("a"))


async def test_strangers_documents_are_read_beside_the_loop(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Short ones, and those of callers whose credential is good no more, too."""
    threads, validate = list[int](), documents.validate

    def watching(*args: Any, **named: Any) -> Any:
        threads.append(threading.get_ident())
        return validate(*args, **named)

    monkeypatch.setattr(documents, "validate", watching)
    known = {"authorization": f"Bearer {world.viewer.token}"}
    for number, headers in enumerate(({}, FORGED, BAD_SESSION, known)):
        threads.clear()
        await post(world, f"{{ crews {{ nope{number} }} }}", **headers)
        assert [thread == threading.get_ident() for thread in threads] == [headers is known]
