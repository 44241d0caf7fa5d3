"""Which files are memories: names, sizes and tiers (contract: memory.import), and the logical path of each.

The memory of an agent is `.memory` in its folder, that of a crew `.memory` in the crew's folder. A logical path is
`agent:<slug>/<name>` or `crew:<crew id>/<name>`.
"""

import re
from dataclasses import dataclass
from typing import Final

from models.bounds import PERSONA
from models.staff.memory import MemoryTier

MEMORY: Final = ".memory"
"""The folder of memories, in the folder of an agent and in that of a crew."""
MOST_READ: Final = 1 << 20
"""Bytes of a memory that is recorded, searched and exported."""
NOTES: Final = 4_000
PINS: Final = 8_000
DAY: Final = 30_000
PERSONA_FILE: Final = "PERSONA.md"
LESSONS_FILE: Final = "lessons.md"
_PART = r"[^/\\\x00-\x1f]{1,200}"
_DATED = re.compile(rf"daily/(?!\.\.?\.md){_PART}\.md")
_PEER = re.compile(rf"peers/(?!\.\.?\.md){_PART}\.md")
_TOPIC = re.compile(rf"({_PART})/topics/pins\.md")
_LEARNED = re.compile(rf"learned-{_PART}\.md")
_OWNED = re.compile(rf"(lessons|learned|learned-{_PART})\.md")
_LOGICAL = re.compile(r"(agent|crew):([^/]{1,200})/(.+)", re.DOTALL)
QUARANTINE: Final = ".quarantine"

UNKNOWN: Final = "not a recognised memory file"
OWNED: Final = "owned by the consolidator: an import would overwrite what it maintains"
QUARANTINED: Final = "quarantined content is isolated on purpose, and cannot be imported"
OUTSIDE: Final = "refused: the path does not stay inside the memory directory"
OF_CREW: Final = "pins of a crew cannot be imported into an agent"


@dataclass(frozen=True, slots=True)
class MemoryOwner:
    """An agent of a crew, or a crew."""

    crew_id: str
    crew_slug: str
    agent_id: str | None = None
    agent_slug: str | None = None

    @property
    def prefix(self) -> str:
        """The beginning of its logical paths."""
        return f"crew:{self.crew_id}/" if self.agent_id is None else f"agent:{self.agent_slug}/"

    @property
    def folder(self) -> str:
        """The folder of memories, from the crew's folder."""
        return MEMORY if self.agent_slug is None else f"{self.agent_slug}/{MEMORY}"

    def place(self, name: str) -> str:
        """The file, from the crew's folder."""
        return f"{self.folder}/{name}"

    def shown(self, name: str) -> str:
        """The file as lists of files name it: they begin with the id of the crew."""
        return f"{self.crew_id}/{self.place(name)}"

    @property
    def id(self) -> str:
        return self.agent_id or self.crew_id


def fault_of(name: str, owner: MemoryOwner) -> str | None:
    """The reason why a file of this name is not imported; None if it may be."""
    if "\\" in name:
        return OUTSIDE
    if name.split("/", 1)[0] == QUARANTINE:
        return QUARANTINED
    if _OWNED.fullmatch(name):
        return OWNED
    topic = _TOPIC.fullmatch(name)
    if topic is not None and topic[1] == owner.crew_slug:
        return None if owner.agent_id is None else OF_CREW
    return None if cap_of(name, owner.crew_slug) is not None else UNKNOWN


def cap_of(name: str, crew_slug: str = "") -> int | None:
    """The most bytes of a memory that people import; None if the name is not that of one."""
    known = {"AGENT.md": NOTES, "CREW.md": NOTES, PERSONA_FILE: PERSONA, "pins.md": PINS}
    if name in known:
        return known[name]
    if _DATED.fullmatch(name):
        return DAY
    if _PEER.fullmatch(name):
        return PERSONA
    topic = _TOPIC.fullmatch(name)
    return PINS if topic is not None and topic[1] == crew_slug else None


def tier_of(name: str) -> MemoryTier:
    """The tier by the name alone (contract: memory.export)."""
    if name == "CREW.md":
        return MemoryTier.crew
    if name == "pins.md" or _TOPIC.fullmatch(name):
        return MemoryTier.pins
    return MemoryTier.learned if _OWNED.fullmatch(name) else MemoryTier.agent


def is_recorded(name: str) -> bool:
    """Returns true if versions of the file are kept."""
    plain = name in ("AGENT.md", "CREW.md", "pins.md", LESSONS_FILE)
    return plain or bool(_DATED.fullmatch(name) or _LEARNED.fullmatch(name) or _TOPIC.fullmatch(name))


def split(path: str) -> tuple[str, str, str] | None:
    """`agent` or `crew`, its slug or id, and the name of the file; None for what is not a logical path."""
    found = _LOGICAL.fullmatch(path)
    return None if found is None else (found[1], found[2], found[3])
