"""Definitions as they are sent: read in a thread, and refused with all their faults."""

import asyncio
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any

import orjson
from pydantic import Field

from models.bounds import ERROR, cut
from models.work.saved_routines import LONGEST_SOURCE
from resolvers.kernel import Code, Refusal

if TYPE_CHECKING:
    from models.work.routines.document import Routine
    from models.work.routines.faults import Fault, Path
    from models.work.routines.reading import ReadRoutine

LONGEST_FAULT = ERROR // 10
DefinitionText = Annotated[
    str, Field(strict=True, max_length=LONGEST_SOURCE, json_schema_extra={"type": ["object", "string"]})
]
"""A definition: in REST an object, whose text is kept as it was sent, or as in GraphQL a text in YAML or JSON."""


@dataclass(frozen=True, slots=True)
class RoutineDefinition:
    """`source` is the text as it was sent."""

    source: str
    is_json: bool
    hash: str
    read: "ReadRoutine"
    manifest: dict[str, Any]

    @property
    def routine(self) -> "Routine":
        return self.read.routine

    @property
    def value(self) -> dict[str, Any]:
        """The plain values, unknown keys included."""
        return self.read.value

    def stored(self) -> dict[str, Any]:
        """The columns of a routine that are copies of its definition."""
        return {
            "definition_hash": self.hash,
            "dsl_version": self.routine.dsl_version,
            "manifest": self.manifest,
        }

    def risks(self, offered: Iterable[str] | None) -> list[str]:
        """The reasons for a review. `offered`: names of the crew's integrations; None without a crew."""
        from models.work.routines.manifests import risks_of

        return risks_of(self.routine, self.manifest, offered)

    def refused(self, found: "Iterable[tuple[Path, str]]") -> Refusal:
        """The refusal for faults that reading could not find."""
        from models.work.routines.faults import Found

        return refused_for([self.read.source.locate(Found(path, text)) for path, text in found])


def hash_of(source: str) -> str:
    """SHA-256 of the bytes as they were sent (contract: routines.Routine, definition_hash)."""
    return hashlib.sha256(source.encode()).hexdigest()


async def read_definition(source: str) -> RoutineDefinition:
    """Raises UNPROCESSABLE with all faults. A large document takes tenths of a second, in a thread."""
    read = await examined(source)
    if isinstance(read, RoutineDefinition):
        return read
    raise refused_for(read)


async def examined(source: str) -> "RoutineDefinition | list[Fault]":
    """The definition, or all faults of the document, with the line of each."""
    read = await asyncio.to_thread(_read, source)
    return read if isinstance(read, RoutineDefinition) else [_brief(fault) for fault in read]


def refused_for(faults: "Sequence[Fault]") -> Refusal:
    """The refusal of a document. `faults` has the line, the column and the pointer of each fault."""
    from models.work.routines.faults import RefusedRoutine

    brief = [_brief(fault) for fault in faults]
    shown = [{"line": f.line, "column": f.column, "pointer": f.pointer, "text": f.text} for f in brief]
    return Refusal(Code.UNPROCESSABLE, str(RefusedRoutine(brief)), extra={"faults": shown})


def _brief(fault: "Fault") -> "Fault":
    """Both may contain text of the document, of any length."""
    return replace(fault, text=cut(fault.text, LONGEST_FAULT), pointer=cut(fault.pointer, LONGEST_FAULT))


def _read(source: str) -> "RoutineDefinition | tuple[Fault, ...]":
    from models.work.routines.faults import RefusedRoutine  # a process that reads no routine does not load it
    from models.work.routines.manifests import manifest_of
    from models.work.routines.reading import read_routine

    try:
        made = read_routine(source)
    except RefusedRoutine as refusal:
        return refusal.faults
    return RoutineDefinition(source, _is_json(source), hash_of(source), made, manifest_of(made.routine))


def _is_json(source: str) -> bool:
    try:
        orjson.loads(source)
    except orjson.JSONDecodeError:
        return False
    return True
