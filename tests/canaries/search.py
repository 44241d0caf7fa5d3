"""The search for canaries: in which forms they are looked for, where, and the table of what was found.

The marked values of columns share one mark of letters and digits, so that text that is URL-encoded or escaped for JSON
has it too; what the service draws itself is looked for as it was sealed.
"""

import base64
import secrets
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import asyncpg
import orjson

MARK: Final = f"cnry{secrets.token_hex(5)}"
"""Drawn anew in every process: what other runs of tests on this machine do is not found here."""
SHORTEST: Final = 8
FORMS: Final = ("plain", "escaped for JSON", "URL-encoded", "reversed", "hexadecimal", "base64 at each of three places")


def marked(column: str) -> str:
    """The value of a column. What is behind the mark differs in each of the forms."""
    return f"{MARK}-{column}/+ é"


def forms_of(text: str) -> set[bytes]:
    coded = text.encode()
    found = {
        coded, coded[::-1], text[::-1].encode(), coded.hex().encode(), coded.hex().upper().encode(),
        quote(text, safe="").encode(), orjson.dumps(text)[1:-1],
        text.encode("unicode_escape"), *_within_base64(coded),
    }  # fmt: skip
    return {form for form in found if len(form) >= SHORTEST}


def _within_base64(coded: bytes) -> Iterator[bytes]:
    """Of any text that has it: what does not depend on its neighbours."""
    for before in range(3):
        whole = base64.b64encode(b"\0" * before + coded)
        inner = whole[-(-before * 4 // 3) : (before + len(coded)) * 8 // 6]
        yield from (inner, inner.translate(bytes.maketrans(b"+/", b"-_")))


@dataclass
class Place:
    """`found` and `allowed`: what in the place has shown which canary."""

    bytes: int = 0
    found: set[str] = field(default_factory=set)
    allowed: set[str] = field(default_factory=set)


@dataclass
class Search:
    """`allowed`: (place, what in it) -> the reason why a canary may be seen there."""

    allowed: Mapping[tuple[str, str], str]
    needles: dict[bytes, str] = field(default_factory=dict)
    places: dict[str, Place] = field(default_factory=dict)

    def know(self, name: str, text: str) -> None:
        self.needles |= dict.fromkeys(forms_of(text), name)

    def look(self, place: str, what: str, data: bytes) -> None:
        seen = self.places.setdefault(place, Place())
        seen.bytes += len(data)
        for form, name in self.needles.items():
            if form in data:
                kept = seen.allowed if (place, what) in self.allowed else seen.found
                kept.add(what if kept is seen.allowed else f"{what} shows {name} as {form.decode(errors='replace')}")

    @property
    def leaks(self) -> list[str]:
        return sorted(f"{name}: {found}" for name, place in self.places.items() for found in place.found)

    @property
    def unused(self) -> set[tuple[str, str]]:
        """What is allowed, and nothing was seen of."""
        return {(place, what) for place, what in self.allowed if what not in self.places.get(place, Place()).allowed}

    def table(self) -> str:
        lines = ["| place | bytes searched | found | allowed |", "| --- | --- | --- | --- |"]
        for name, place in sorted(self.places.items()):
            reasons = "; ".join(f"`{what}`: {self.allowed[name, what]}" for what in sorted(place.allowed))
            lines.append(f"| {name} | {place.bytes:,} | {len(place.found)} | {reasons or 'nothing'} |")
        return "\n".join(lines) + "\n"


TABLES: Final = """
    SELECT n.nspname || '.' || c.relname, c.oid::regclass::text FROM pg_class c
    JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND n.nspname NOT IN ('pg_catalog', 'information_schema')
    ORDER BY 1
"""
PROGRAMS: Final = frozenset({"bash", "dash", "sleep", "bwrap"})
WRITTEN: Final = "recorder.kept"
NAMED: Final = {
    "public.events": "events", "public.run_frames": "frames", "public.audit_logs": "the audit log",
    "public.journal_entries": "the journal", "public.journal": "the journal",
}  # fmt: skip


async def look_through_database(search: Search, connection: "asyncpg.Connection[Any]") -> None:
    """As a dump has it: every column of every table as text, bytes as hexadecimal digits."""
    for name, table in await connection.fetch(TABLES):
        if name != WRITTEN:
            rows = await connection.fetch(f"SELECT r::text FROM {table} AS r")
            place = NAMED.get(name, "other tables, as a dump has them")
            search.look(place, name, "\n".join(row[0] for row in rows).encode())
    written = f"""SELECT 'public.' || "table", string_agg(concat(old, new), ' ') FROM {WRITTEN} GROUP BY 1 ORDER BY 1"""
    for name, rows in await connection.fetch(written):
        search.look("rows that were written and taken back", name, rows.encode())


def look_through_files(search: Search, folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            search.look("files of the service", path.name, path.name.encode() + path.read_bytes())


def look_through_processes(search: Search, variable: str = "") -> None:
    """Of every process that can be read: no other run of tests knows the mark. One that has the `variable` is a command
    of an agent, or the sandbox around it.
    """
    for process in Path("/proc").iterdir():
        if not process.name.isdigit():
            continue
        try:
            arguments, environment = (process / "cmdline").read_bytes(), (process / "environ").read_bytes()
            program = (process / "exe").readlink().name
        except OSError:  # it has ended, or is another user's
            continue
        is_of_agent = bool(variable) and program in PROGRAMS and f"\0{variable}=".encode() in b"\0" + environment
        who = "a command of an agent" if is_of_agent else f"{program} {process.name}"
        search.look("arguments of processes", who, arguments)
        search.look("environments of processes", who, environment)


def heads(raw: Iterable[tuple[bytes, bytes]]) -> bytes:
    return b"\n".join(b": ".join(line) for line in raw)
