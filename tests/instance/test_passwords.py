"""Passwords are checked off the event loop, at one cost, and only so many at once."""

import asyncio
import os
import sys
import threading
import time
from collections.abc import Iterator

import bcrypt
import pytest
from argon2 import extract_parameters

from resolvers.errors import Code, Refusal
from resolvers.instance.passwords import NICE, Cost, Passwords, Verification, check_password
from tests.every import each_of

pytestmark = pytest.mark.anyio
CHEAP = Cost(passes=1, memory=64, lanes=1)
SLOW = Cost(passes=8, memory=16384, lanes=1)


@pytest.fixture(scope="module")
def passwords() -> Iterator[Passwords]:
    made = Passwords(CHEAP)
    yield made
    made.close()


async def test_a_password_is_hashed_with_argon2id_at_the_given_cost(passwords: Passwords) -> None:
    stored = await passwords.hash("correct horse")
    assert stored.startswith("$argon2id$")
    parameters = extract_parameters(stored)
    assert (parameters.time_cost, parameters.memory_cost, parameters.parallelism) == (1, 64, 1)
    assert stored != await passwords.hash("correct horse")
    assert await passwords.verify("correct horse", stored) == Verification(ok=True)
    assert await passwords.verify("correct horsE", stored) == Verification(ok=False)


@pytest.mark.skipif(sys.platform != "linux", reason="priorities of threads are Linux's")
async def test_hashes_give_way_to_the_event_loop(passwords: Passwords) -> None:
    own = os.getpriority(os.PRIO_PROCESS, 0)
    await passwords.hash("correct horse")
    nice = [
        os.getpriority(os.PRIO_PROCESS, thread.native_id or 0)
        for thread in threading.enumerate()
        if thread.name.startswith("password")
    ]
    assert nice
    assert set(nice) == {NICE}
    assert os.getpriority(os.PRIO_PROCESS, 0) == own


async def test_bcrypt_is_accepted_and_upgraded(passwords: Passwords) -> None:
    for prefix in (b"2a", b"2b"):
        stored = bcrypt.hashpw(b"correct horse", bcrypt.gensalt(4, prefix)).decode()
        assert await passwords.verify("wrong horse", stored) == Verification(ok=False)
        found = await passwords.verify("correct horse", stored)
        assert found.ok
        assert found.upgraded_hash is not None
        assert await passwords.verify("correct horse", found.upgraded_hash) == Verification(ok=True)


async def test_another_cost_is_upgraded(passwords: Passwords) -> None:
    other = Passwords(Cost(passes=2, memory=64, lanes=1))
    found = await passwords.verify("correct horse", await other.hash("correct horse"))
    other.close()
    assert found.ok
    assert found.upgraded_hash is not None
    assert extract_parameters(found.upgraded_hash).time_cost == 1


@each_of(
    "stored",
    [
        None,
        "",
        "plain",
        "$argon2id$",
        "$2b$99$" + "a" * 53,
        "$argon2id$v=19$m=64,t=1,p=1$!!$!!",
        "$argon2id$v=19$m=64,t=1,p=1",
    ],
)
async def test_without_a_usable_hash_nobody_gets_in(passwords: Passwords, stored: str | None) -> None:
    for password in ("", "plain", "correct horse", "\x00", "\ud800", "x" * 1_000_000):
        assert await passwords.verify(password, stored) == Verification(ok=False)


@pytest.mark.slow
async def test_an_unknown_account_costs_what_a_known_one_costs() -> None:
    passwords = Passwords(SLOW)
    stored = await passwords.hash("correct horse")

    async def cost(hash_: str | None, password: str = "wrong horse") -> float:
        times = []  # of the processor, so that what else the machine does is left out
        for _ in range(5):
            start = time.process_time()
            await passwords.verify(password, hash_)
            times.append(time.process_time() - start)
        return min(times)

    known, unknown, long, broken = (
        await cost(stored),
        await cost(None),
        await cost(stored, "x" * 100),
        await cost("broken"),
    )
    passwords.close()
    for other in (unknown, long, broken):
        assert 0.5 < other / known < 2


@each_of(
    ("password", "refusal"),
    [
        ("1234567", "Password must be at least 8 characters"),
        ("éééé", "Password must be at least 8 characters"),
        ("", "Password must be at least 8 characters"),
        ("x" * 73, "Password must be at most 72 bytes"),
        ("é" * 37, "Password must be at most 72 bytes"),
        ("12345678\ud800", "Password must be at most 72 bytes"),
        ("12345678", None),
        ("é" * 8, None),
        ("é" * 36, None),
        ("x" * 72, None),
    ],
)
async def test_the_rule_for_new_passwords(passwords: Passwords, password: str, refusal: str | None) -> None:
    if refusal is None:
        check_password(password)
        assert (await passwords.verify(password, await passwords.hash(password))).ok
        return
    with pytest.raises(Refusal) as checked:
        check_password(password)
    with pytest.raises(Refusal) as hashed:
        await passwords.hash(password)
    assert (
        (checked.value.code, checked.value.detail)
        == (hashed.value.code, hashed.value.detail)
        == (Code.BAD_REQUEST, refusal)
    )


@pytest.mark.slow
async def test_a_flood_is_refused_and_leaves_the_loop_alone() -> None:
    passwords = Passwords(SLOW, threads=1, queue=2)
    flood = [asyncio.ensure_future(passwords.verify("correct horse", None)) for _ in range(8)]
    turns = 0
    while not all(f.done() for f in flood):
        await asyncio.sleep(0)
        turns += 1
    answers = await asyncio.gather(*flood, return_exceptions=True)
    assert [a.code for a in answers if isinstance(a, Refusal)] == [Code.RATE_LIMITED] * 5
    assert sum(isinstance(a, Verification) for a in answers) == 3
    assert turns > 100
    assert await passwords.verify("correct horse", None) == Verification(ok=False)
    passwords.close()


@pytest.mark.slow
async def test_a_caller_who_leaves_gives_the_place_back() -> None:
    passwords = Passwords(SLOW, threads=1, queue=1)
    for _ in range(5):
        leaving = [asyncio.ensure_future(passwords.verify("correct horse", None)) for _ in range(2)]
        await asyncio.sleep(0)
        for task in leaving:
            task.cancel()
        await asyncio.gather(*leaving, return_exceptions=True)
        while True:
            try:
                assert await passwords.verify("correct horse", None) == Verification(ok=False)
            except Refusal:
                await asyncio.sleep(0.01)
            else:
                break
    passwords.close()
