"""Known values are made ready once for each set of them, beside the loop: a bundle of certificates takes a while."""

import asyncio
from collections import OrderedDict
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Final
from weakref import WeakValueDictionary

from resolvers.rules.known_values import KnownValues
from resolvers.rules.redaction import Redactor

KEPT: Final = 16
LARGEST_KEPT: Final = 16 << 10
"""The most characters of a set that stays cached after its last run."""

_maker = ThreadPoolExecutor(1, "known values")
_in_use: WeakValueDictionary[frozenset[str], KnownValues] = WeakValueDictionary()
_newest: OrderedDict[frozenset[str], KnownValues] = OrderedDict()


async def redactor_of(values: Iterable[str]) -> Redactor:
    """Raises TooManyValues."""
    wanted = frozenset(values)
    known = _in_use.get(wanted)
    if known is None:
        known = await asyncio.get_running_loop().run_in_executor(_maker, _made, wanted)
    _keep(wanted, known)
    return Redactor(known)


def _made(wanted: frozenset[str]) -> KnownValues:
    """Built in one thread: a caller that waited for the same set gets the result."""
    known = _in_use.get(wanted)
    if known is None:
        known = _in_use[wanted] = KnownValues(wanted)
    return known


def _keep(wanted: frozenset[str], known: KnownValues) -> None:
    if sum(map(len, wanted)) <= LARGEST_KEPT:
        _newest[wanted] = known
        _newest.move_to_end(wanted)
        while len(_newest) > KEPT:
            _newest.popitem(last=False)
