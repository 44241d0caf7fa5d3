"""The names of a crew and of its parts in a workspace that may use them already.

A crew that is restored beside others has a slug that was chosen. Slugs of its agents and identifiers of its issues stay
as they are if they are free. Labels, projects and milestones that the workspace has are taken in place of the bundle's.
"""

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import Any, Final

from sqlalchemy import Text as SQLText
from sqlalchemy import func, select

from models.base import table_of
from models.staff.agents import Agent
from models.staff.crews import Crew
from models.work.labels import Label
from models.work.missions import Mission
from models.work.projects import Milestone, Project
from resolvers.instance.bundles.faults import BundleError, BundleFault
from resolvers.instance.license import Limit
from resolvers.kernel import Code, Refusal, instance
from resolvers.kernel.store.copying import NULL, Landing, values_of
from resolvers.oversight.backups.arriving import NOT_ITS_MANIFEST
from resolvers.people.workspaces.files import ISSUE_FILES

NO_ROWS: Final = "The bundle has rows that do not fit its tables"
TAKEN: Final = "A crew of this slug exists already"
SHARED: Final[Mapping[str, tuple[type[Any], tuple[str, ...]]]] = {
    "labels": (Label, ("name",)),
    "projects": (Project, ("slug",)),
    "milestones": (Milestone, ("project_id", "name")),
}
"""Rows that crews of a workspace share, and the columns by which the existing ones are found."""
Change = Callable[[bytes, "list[bytes]"], bytes | None]


@dataclass(slots=True)
class CrewNames:
    """`crew`: the crew by its id in the bundle. `slug`: of the new crew; None if the ids stay, and so do the names."""

    crew: bytes
    slug: str | None
    slugs: set[bytes] = field(default_factory=set)
    prefixes: set[bytes] = field(default_factory=set)
    agents: set[bytes] = field(default_factory=set)
    sums: set[bytes] = field(default_factory=set)
    """SHA-256 of the files of its issues."""
    _renamed: dict[bytes, bytes] = field(default_factory=dict)
    _prefixed: dict[bytes, bytes] = field(default_factory=dict)

    async def look(self, landing: Landing, workspace_id: str) -> None:
        """Reads which names the workspace uses. CONFLICT if the slug of the crew is one of them, PAYMENT_REQUIRED
        if the license allows no further crew.
        """
        crew, agent, mission = table_of(Crew).c, table_of(Agent).c, table_of(Mission).c
        crews = await landing.report(
            select(crew.slug, crew.issue_prefix, crew.deleted_at.is_(None)).where(crew.workspace_id == workspace_id)
        )
        if self.slug is not None and any(slug == self.slug and lives for slug, _, lives in crews):
            raise Refusal(Code.CONFLICT, TAKEN, taken=("as_crew",))
        if self.slug is not None:
            instance.license.check(Limit.crews, sum(lives for _, _, lives in crews))
        agents = select(agent.slug).where(agent.workspace_id == workspace_id, agent.deleted_at.is_(None))
        self.slugs = {row[0].encode() for row in await landing.report(agents)}
        begins = func.regexp_replace(mission.identifier, "-[0-9]+$", "", type_=SQLText())
        used = select(begins).where(mission.workspace_id == workspace_id, mission.identifier.is_not(None)).distinct()
        self.prefixes = {row[0].encode() for row in await landing.report(used)}
        self.prefixes |= {_prefix(slug, prefix).encode() for slug, prefix, _ in crews}

    def field(self, table: str, column: str, columns: list[str]) -> Change | None:
        """The change of a column's values; None if they stay, or are changed as in every bundle."""
        if (table, column) == ("agents", "slug"):
            return partial(self._agent, columns.index("id"))
        if (table, column) == ("issue_attachments", "sha256"):
            return self._sum
        if self.slug is None:
            return None
        fixed = self.slug.encode()
        changes: dict[tuple[str, str], Change] = {
            ("crews", "slug"): lambda _, __: fixed,
            ("crews", "name"): lambda _, __: fixed,
            ("crews", "issue_prefix"): partial(self._crew, columns.index("slug") if "slug" in columns else 0),
            ("missions", "identifier"): self._identifier,
            ("chat_attachments", "folder"): lambda value, _: self._renamed.get(value, value),
        }
        return changes.get((table, column))

    def path(self, names: tuple[str, ...]) -> tuple[str, ...]:
        """The path of a file of the crew, of one of its agents or of its issues. BundleError for others."""
        known = {"crews": {self.crew}, "agents": self.agents, ISSUE_FILES: self.sums}.get(names[0], set())
        if len(names) < 3 or names[1].encode() not in known:
            raise BundleError(BundleFault.invalid_checksum, NOT_ITS_MANIFEST)
        if names[0] == "crews" and names[2] == "output" and len(names) > 4:
            slug = self._renamed.get(names[3].encode(), names[3].encode()).decode()
            return (*names[:3], slug, *names[4:])
        return names

    def _sum(self, value: bytes, _: list[bytes]) -> bytes:
        self.sums.add(value)
        return value

    def _agent(self, place_of_id: int, value: bytes, line: list[bytes]) -> bytes:
        self.agents.add(line[place_of_id])
        if self.slug is None:
            return value
        if value not in self._renamed:  # of several agents of a slug, one at most is not deleted
            self._renamed[value] = made = _free(value, b"-", self.slugs)
            self.slugs.add(made)
        return self._renamed[value]

    def _crew(self, place_of_slug: int, value: bytes, line: list[bytes]) -> bytes:
        assert self.slug is not None
        old = _prefix(line[place_of_slug].decode(), None if value == NULL else value.decode()).encode()
        own = [self.slug[:length].upper().encode() for length in range(3, len(self.slug) + 1)]
        made = next((each for each in [old, *own] if each not in self.prefixes), None)
        return self._prefix_as(old, made or _free(own[0] if own else old, b"", self.prefixes))

    def _identifier(self, value: bytes, _: list[bytes]) -> bytes:
        prefix, dash, number = value.rpartition(b"-")
        if not dash or not number.isdigit():
            return value
        made = self._prefixed.get(prefix) or self._prefix_as(prefix, _free(prefix, b"", self.prefixes))
        return made + dash + number

    def _prefix_as(self, old: bytes, made: bytes) -> bytes:
        self._prefixed[old] = made
        self.prefixes.add(made)
        return made


def _prefix(slug: str, prefix: str | None) -> str:
    return prefix or slug[:3].upper()


def _free(name: bytes, joint: bytes, taken: set[bytes]) -> bytes:
    """The name itself, or with the first number that is free."""
    candidates: Iterator[bytes] = (b"%s%s%d" % (name, joint, number) for number in count(2))
    return name if name not in taken else next(each for each in candidates if each not in taken)


async def shared(
    landing: Landing,
    target: str,
    name: str,
    columns: list[str],
    lines: AsyncIterator[bytes],
    same: Callable[[bytes, bytes | None], bytes],
) -> AsyncIterator[bytes]:
    """The lines of a table whose rows the workspace has not. `same` is called with the id of each row in the bundle and
    that of the row of the workspace, if there is one, and returns the id that it has from now on.
    """
    model, keys = SHARED[name]
    table = table_of(model)
    at = columns.index("id")
    async for content in lines:
        kept = []
        try:
            values = values_of(content, len(columns))
        except ValueError as error:
            raise BundleError(BundleFault.invalid_checksum, NO_ROWS) from error
        for number, line in enumerate(content.split(b"\n")[:-1]):
            wanted = [table.c.workspace_id == target]
            for key in keys:
                value = values[columns.index(key)][number]
                if key == "project_id" and value is not None:
                    value = same(value.encode(), None).decode()
                wanted.append(table.c[key] == value)
            old = line.split(b"\t")[at]
            found = await landing.report(select(table.c.id).where(*wanted).order_by(table.c.id != old.decode()))
            if found:
                same(old, found[0][0].encode())
            else:
                kept.append(line + b"\n")
        if kept:
            yield b"".join(kept)
