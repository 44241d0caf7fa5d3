"""Definitions as they are sent: read in a thread, and refused with all their faults."""

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any

import orjson
from pydantic import Field

from models.bounds import ERROR, cut
from models.work.saved_routines import LONGEST_SOURCE
from resolvers.kernel import Code, Refusal

if TYPE_CHECKING:
    from models.work.routines.document import Routine
    from models.work.routines.faults import Fault

DefinitionText = Annotated[
    str, Field(strict=True, max_length=LONGEST_SOURCE, json_schema_extra={"type": ["object", "string"]})
]
"""A definition: in REST an object, whose text is kept as it was sent, or as in GraphQL a text in YAML or JSON."""


@dataclass(frozen=True, slots=True)
class Definition:
    """`source` is the text as it was sent; `value`, its plain values, unknown keys included."""

    source: str
    is_json: bool
    hash: str
    routine: "Routine"
    value: dict[str, Any]
    manifest: dict[str, Any]


def hash_of(source: str) -> str:
    """SHA-256 of the bytes as they were sent (contract: routines.Routine, definition_hash)."""
    return hashlib.sha256(source.encode()).hexdigest()


async def read_definition(source: str) -> Definition:
    """Raises UNPROCESSABLE with all faults. A large document takes tenths of a second, in a thread."""
    read, faults = await asyncio.to_thread(_read, source)
    if read is None:
        raise refused_for(faults)
    return read


async def faults_in(source: str) -> "list[Fault]":
    """All faults of a document, with the line of each."""
    _, faults = await asyncio.to_thread(_read, source)
    return [_brief(fault) for fault in faults]


def refused_for(faults: "Sequence[Fault]") -> Refusal:
    """The refusal of a document. `faults` has the line, the column and the pointer of each fault."""
    from models.work.routines.faults import RefusedRoutine

    brief = [_brief(fault) for fault in faults]
    shown = [{"line": f.line, "column": f.column, "pointer": f.pointer, "text": f.text} for f in brief]
    return Refusal(Code.UNPROCESSABLE, str(RefusedRoutine(brief)), extra={"faults": shown})


def _brief(fault: "Fault") -> "Fault":
    """Both may contain text of the document, of any length."""
    return replace(fault, text=cut(fault.text, ERROR // 10), pointer=cut(fault.pointer, ERROR // 10))


def _read(source: str) -> "tuple[Definition | None, tuple[Fault, ...]]":
    from models.work.routines.faults import RefusedRoutine  # a process that reads no routine does not load it
    from models.work.routines.reading import read_routine
    from resolvers.work.routines.manifests import manifest_of

    try:
        made = read_routine(source)
    except RefusedRoutine as refusal:
        return None, refusal.faults
    return (
        Definition(source, _is_json(source), hash_of(source), made.routine, made.value, manifest_of(made.routine)),
        (),
    )


def _is_json(source: str) -> bool:
    try:
        orjson.loads(source)
    except orjson.JSONDecodeError:
        return False
    return True
