"""The roots of one document, asked for one after the other, at once, or in one statement."""

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

import orjson
from graphql import GraphQLError

from resolvers.errors import Refusal
from resolvers.identity.caller import Caller
from resolvers.kernel.declarations import together
from resolvers.kernel.declarations.operation import Answer
from resolvers.kernel.declarations.query import PartRefused
from schema.bridge.errors import MOST_ERRORS
from schema.bridge.selection import Asking, Call, Root

AT_ONCE = 4  # of one query: as many connections as it may have
SMALL = 200  # objects of a root that is asked for in one statement with others
JOINED_AFTER = 2  # runs of a document: what is asked once is not worth a statement of its own


@dataclass(frozen=True, slots=True)
class Faulty:
    """A root that only returns its fault."""

    root: Any  # a Root, or RootsByType
    cause: Refusal | GraphQLError


async def ask(asking: Asking, call: Call) -> Answer | Faulty:
    try:
        return await call.run(asking)
    except Refusal as refusal:
        return Faulty(call.root, refusal)


async def ask_all(asking: Asking, calls: Mapping[int, Call], *, runs: int) -> dict[int, Answer | Faulty]:
    """The roots of a query do not wait for each other (GraphQL spec, 6.2.1): small ones are one statement, of the rest
    a few are asked for at once. By their places. `runs`: how often the document was run.
    """
    done = await _joined(asking, calls) if runs > JOINED_AFTER else {}
    room = asyncio.Semaphore(AT_ONCE)

    async def one(call: Call) -> Answer | Faulty:
        async with room:
            return await ask(asking, call)

    left = {place: call for place, call in calls.items() if place not in done}
    return done | dict(zip(left, await asyncio.gather(*[one(call) for call in left.values()]), strict=True))


async def _joined(asking: Asking, calls: Mapping[int, Call]) -> dict[int, Answer | Faulty]:
    """The answers of small roots that ask for the same workspace."""
    small = dict[int, Call]()
    for place, call in calls.items():
        if len(small) < together.MOST and _joins(call, asking.caller):
            first = next(iter(small.values()), call)
            if call.place == first.place:
                small[place] = call
    if len(small) < 2:
        return {}
    try:
        for call in small.values():
            asking.pay(call.root)
    except Refusal:
        return {}
    answers = await together.answer(asking.caller, [call.asked(asking.caller) for call in small.values()])
    return {
        place: answer if isinstance(answer, Answer) else Faulty(call.root, call.root.told(answer))
        for (place, call), answer in zip(small.items(), answers or (), strict=False)
        if not isinstance(answer, PartRefused)  # it is asked again, for less
    }


def errors_of(root: Root, answer: Answer) -> list[GraphQLError]:
    """The errors of what is null in the answer because the caller's role may not read it: one for each place."""
    if not answer.withheld or answer.body is None:
        return []
    shown = orjson.loads(answer.body)
    places = ((part.refusal, place) for part in answer.withheld for place in _places(shown, part.keys))
    return [
        GraphQLError(
            str(refusal),
            source=root.source,
            positions=root.positions,
            path=[root.key, *place],
            original_error=refusal,
        )
        for refusal, place in islice(places, MOST_ERRORS)
    ]


def _places(value: Any, keys: tuple[str, ...]) -> Iterator[tuple[str | int, ...]]:
    """The paths of the nulls that the keys lead to, through lists."""
    if isinstance(value, list):
        for number, each in enumerate(value):
            yield from ((number, *place) for place in _places(each, keys))
    elif not keys:
        yield from [()] if value is None else []
    elif isinstance(value, dict) and keys[0] in value:
        yield from ((keys[0], *place) for place in _places(value[keys[0]], keys[1:]))


def _joins(call: Call, caller: Caller) -> bool:
    if call.fault is not None or call.cost > SMALL or not (call.place or caller.workspace):
        return False
    return together.joins(call.root.operation, caller)
