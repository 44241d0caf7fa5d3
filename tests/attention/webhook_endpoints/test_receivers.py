"""Receivers that misbehave, on real sockets: each costs its own lane time, and nobody else anything."""

import asyncio
import contextlib
import json
import random
import socket
import time
from collections.abc import Awaitable, Callable
from typing import Any
from unittest import mock

import pytest

from resolvers.attention.webhook_endpoints import sending
from resolvers.attention.webhook_endpoints.sending import lane_of
from resolvers.instance.running import instance
from tests.attention.webhook_endpoints.test_webhook_endpoints import (
    QUICK,
    Receiver,
    _empty,
    _private,
    create,
    endpoint_of,
    happen,
    log,
    status,
    until,
)
from tests.people.recovery.mailbox import delivering
from tests.world import World

__all__ = ["_empty", "_private"]
pytestmark = pytest.mark.anyio
Trap = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def says_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()  # until the other side has had enough


async def dribbles(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Never silent for long, and never done."""
    writer.write(b"HTTP/1.1 200 X\r\nx-slow: ")
    while True:
        writer.write(b"a")
        await writer.drain()
        await asyncio.sleep(0.05)


async def hangs_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 X\r\ncontent-length: 100\r\n\r\nshort")


class Trapping(Receiver):
    """Traps the first requests about a subject, as many as `times`."""

    def __init__(self, subject: str, trap: Trap, times: int = 1) -> None:
        super().__init__()
        self.subject, self.trap, self.times, self.trapped = subject, trap, times, 0

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
            body = await reader.readexactly(int(headers["content-length"]))
            caught = json.loads(body)["data"]["id"] == self.subject and self.trapped < self.times
            self.got.append((headers, body, not caught))
            if caught:
                self.trapped += 1
                await self.trap(reader, writer)
            else:
                writer.write(status(200))
                await writer.drain()
        writer.close()


def numbers(receiver: Receiver, subject: str) -> list[int]:
    return [event["data"]["number"] for event in receiver.taken if event["data"]["id"] == subject]


def subjects_of_two_lanes() -> tuple[str, str]:
    names = [f"subject {number}" for number in range(20)]
    return names[0], next(name for name in names if lane_of(name) != lane_of(names[0]))


@pytest.mark.slow
@pytest.mark.parametrize("trap", [says_nothing, dribbles, hangs_up])
async def test_one_that_hangs_holds_up_its_own_lane_alone(world: World, trap: Trap) -> None:
    bad, good = subjects_of_two_lanes()
    receiver = Trapping(bad, trap)
    with mock.patch.object(sending, "TIMEOUT", 1.0), mock.patch.object(sending, "PAUSES", QUICK):
        async with receiver.listening() as url, delivering(world):
            made = await create(world, url, "crew.updated")
            for number in range(3):
                await happen(world, bad, number)
                await happen(world, good, number)

            async def delivered() -> bool:
                return len(await log(world, made, "delivered")) == 6

            await until(delivered, 90)
            entries = await log(world, made)
    assert numbers(receiver, bad) == numbers(receiver, good) == [0, 1, 2]
    tries = {(entry["subject"], entry["payload"]["number"]): entry["attempts"] for entry in entries}
    assert tries[bad, 0] > 1, "the attempt that hung is one that failed"
    assert receiver.trapped == 1


async def test_a_redirect_is_an_answer_that_is_not_followed(world: World) -> None:
    elsewhere = Receiver()
    async with elsewhere.listening() as other:
        receiver = Receiver(lambda number: status(307, f"location: {other}") if number < 2 else status(200))
        with mock.patch.object(sending, "PAUSES", QUICK):
            async with receiver.listening() as url, delivering(world):
                made = await create(world, url, "crew.updated")
                await happen(world, "one", 1)

                async def delivered() -> bool:
                    return bool(await log(world, made, "delivered"))

                await until(delivered, 90)
                (entry,) = await log(world, made)
    assert elsewhere.got == [], "the event and its signature are for the address that was registered"
    assert (entry["state"], entry["attempts"], entry["status"]) == ("delivered", 3, 200)
    assert len({headers["webhook-id"] for headers, _, _ in receiver.got}) == 1


@pytest.mark.slow
@pytest.mark.parametrize("address", ["127.0.0.1", "10.0.0.7", "169.254.169.254", "::1", "fd00::1"])
async def test_a_name_that_resolves_to_a_private_address_is_not_called(
    world: World, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    """It is judged when it is called: when it was registered the name may have led elsewhere."""
    receiver, real = Receiver(), socket.getaddrinfo

    def look_up(host: Any, port: Any, *given: Any, **named: Any) -> Any:
        if host == "hooks.example.com":
            kind = socket.AF_INET6 if ":" in address else socket.AF_INET
            return [(kind, socket.SOCK_STREAM, 6, "", (address, port, 0, 0) if ":" in address else (address, port))]
        return real(host, port, *given, **named)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    allowed = instance.settings.model_copy(update={"hooks_allow_private": False})
    with mock.patch.object(instance, "_settings", allowed):
        async with receiver.listening() as url, delivering(world):
            made = await create(world, url.replace("127.0.0.1", "hooks.example.com"), "crew.updated")
            await happen(world, "one", 1)

            async def tried() -> bool:
                return any(entry["attempts"] for entry in await log(world, made))

            await until(tried, 90)
            (entry,) = await log(world, made)
    assert receiver.got == []
    assert (entry["status"], entry["state"]) == (None, "pending")
    assert address not in entry["error"]


@pytest.mark.slow
async def test_what_happens_in_one_transaction_is_delivered_in_its_order(world: World) -> None:
    receiver = Receiver()
    async with receiver.listening() as url, delivering(world):
        await create(world, url, "crew.updated")
        async with world.database.transaction():
            for number in range(12):
                for subject in ("one", "two", "three"):
                    await happen(world, subject, number)
        await until(lambda: len(receiver.taken) == 36, 120)
    for subject in ("one", "two", "three"):
        assert numbers(receiver, subject) == list(range(12))
    assert len({event["id"] for event in receiver.taken}) == 36


async def load(world: World, subjects: int, each: int) -> None:
    await world.database.execute(
        "INSERT INTO events (workspace_id, channel, type, payload) SELECT $1::text, 'workspace:' || $1::text,"
        " 'crew.updated', jsonb_build_object('id', 'subject ' || s, 'number', n)"
        " FROM generate_series(0, $3 - 1) AS n, generate_series(1, $2) AS s ORDER BY n, s",
        world.workspace.id, subjects, each,
    )  # fmt: skip


@pytest.mark.slow
async def test_a_thousand_arrive_at_a_receiver_that_fails_three_times_in_ten(world: World) -> None:
    dice = random.Random(11)
    bad = lambda: dice.choice([status(500), status(503), b"", status(302, "location: http://127.0.0.1:9/")])  # noqa: E731
    receiver = Receiver(lambda _: bad() if dice.random() < 0.3 else status(200))
    began = time.monotonic()
    with mock.patch.object(sending, "PAUSES", QUICK):
        async with receiver.listening() as url, delivering(world):
            made = await create(world, url, "crew.updated")
            await load(world, 50, 20)

            async def all_delivered() -> bool:
                sql = "SELECT count(*) FROM webhook_deliveries WHERE state = 'delivered'"
                return bool(await world.database.fetchval(sql) == 1000)

            await until(all_delivered, 500)
            assert (await endpoint_of(world, made))["enabled"]
    seconds = time.monotonic() - began
    ids: dict[tuple[str, int], set[str]] = {}
    for headers, body, _ in receiver.got:
        data = json.loads(body)["data"]
        ids.setdefault((data["id"], data["number"]), set()).add(headers["webhook-id"])
    repeated = len(receiver.got) - len(ids)
    print(f"1000 events, {len(receiver.got)} requests, {repeated} repeated, {seconds:.0f} s")
    assert len(ids) == 1000
    assert all(len(known) == 1 for known in ids.values()), "a repetition has the id of what it repeats"
    for subject in range(1, 51):
        assert list(dict.fromkeys(numbers(receiver, f"subject {subject}"))) == list(range(20))
