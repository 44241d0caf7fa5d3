"""One id means one object: what GraphQL reads of a type and an id is the same on every path, with all arguments, in
every workspace of the caller, and for every caller. A client's cache stores objects by type and id.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from graphql import GraphQLUnionType, get_named_type, is_leaf_type

from models.people.auth import User
from models.people.workspaces import Membership, Role
from models.staff.runs import Run
from resolvers.kernel.declarations.operation import Auth, Operation
from tests.generation.domains import Plot
from tests.generation.estate import Estate
from tests.generation.inputs import valid, variants
from tests.generation.registry import SCHEMA, graphql_fields, operations
from tests.generation.selection import arguments, is_list, required_arguments
from tests.world import Person, now

pytestmark = [pytest.mark.anyio, pytest.mark.thorough]
SHOWN = graphql_fields()
READS = [op for op in operations() if op.auth is Auth.USER and SHOWN.get(op.name, [("",)])[0][0] == "query"]
QUICK = (
    "agents.inbox",
    "conversations.",
    "feature_flags.",
    "issues.relations",
    "issues.find_one",
    "issues.get",
    "members.list",
    "missions.find_one",
    "runs.insights",
    "viewer.",
    "workspaces.list",
    "skills.",
)
MOST_FIELDS = 500  # of one document
BY_CALLER = {"Chat.unreadCount", "Invitation.token", "Workspace.currentUserRole"}
"""What the caller has not read, may accept, and is. A cache is one caller's."""
BY_THE_TIME = {"ActiveSession.lastUsedAt", "CliToken.lastUsedAt", "Run.waitedMs"}
"""When a credential was last used, also the reader's own: it is written once a minute. A duration that grows until
an approval is decided.
"""
TEXTS: dict[str, list[dict[str, Any]]] = {
    "conversations.search": [{"query": "Rain"}, {"query": "Rain soon"}],
    "runs.insights": [{"window": "24h"}, {"window": "30d"}],
}
"""Values that no closed set holds."""


def keyed(type_: Any) -> bool:
    """Returns true if clients may store objects of the type by their id."""
    own = type_.fields.get("id")
    return own is not None and own.deprecation_reason is None


def values(type_: Any) -> list[str]:
    return ["__typename", *(name for name, each in type_.fields.items() if _is_value(each))]


def _is_value(definition: Any) -> bool:
    own = definition.deprecation_reason is None
    return own and is_leaf_type(get_named_type(definition.type)) and not required_arguments(definition)


def objects(type_: Any, depth: int) -> list[str]:
    """The objects that a row leads to, with their values, and, one by one, the objects that these lead to."""
    found = []
    for name, definition in type_.fields.items():
        inner: Any = get_named_type(definition.type)
        if is_leaf_type(inner) or required_arguments(definition) or definition.deprecation_reason is not None:
            continue
        if isinstance(inner, GraphQLUnionType):
            members = " ".join(f"... on {each} {{ __typename }}" for each in inner.types)  # their fields may conflict
            found.append(f"{name} {{ {members} }}")
            continue
        around = "{}"
        if inner.name.endswith("Connection"):
            around, inner = "{{ nodes {} }}", get_named_type(inner.fields["nodes"].type)
        found.append(f"{name} {around.format('{ ' + ' '.join(values(inner)) + ' }')}")
        if depth and not is_list(definition.type):
            found += [f"{name} {{ {below} }}" for below in objects(inner, depth - 1)]
    return found


def selections(type_: Any) -> Iterator[str]:
    """All values of a row and of the objects that it leads to, in documents of a size that is allowed."""
    if isinstance(type_, GraphQLUnionType):
        yield "{ " + " ".join(f"... on {each} {{ {' '.join(values(each))} }}" for each in type_.types) + " }"
        return
    parts, size = values(type_), 0
    for part in objects(type_, 1):
        size += len(part.split())
        if size > MOST_FIELDS:
            yield "{ " + " ".join(parts) + " }"
            parts, size = ["__typename", *(["id"] if "id" in type_.fields else [])], len(part.split())
        parts.append(part)
    yield "{ " + " ".join(parts) + " }"


@dataclass
class Seen:
    """What was read of each type and id, and where it differed."""

    known: dict[tuple[str, str], dict[str, tuple[Any, str]]] = field(default_factory=dict)
    differ: dict[str, str] = field(default_factory=dict)

    def add(self, part: Any, where: str, *, hidden: bool = False) -> None:
        """`hidden`: the caller may not see everything, and reads null instead."""
        if isinstance(part, list):
            for each in part:
                self.add(each, where, hidden=hidden)
        if not isinstance(part, dict):
            return
        name, id = part.get("__typename"), part.get("id")
        if name is not None and id is not None and keyed(SCHEMA.type_map[name]):
            fields: Any = SCHEMA.type_map[name].fields  # type: ignore[attr-defined]
            known = self.known.setdefault((name, id), {})
            for key, value in part.items():
                if (
                    key != "__typename"
                    and f"{name}.{key}" not in BY_THE_TIME
                    and is_leaf_type(get_named_type(fields[key].type))
                ):
                    before, there = known.setdefault(key, (value, where))
                    if before != value and not (hidden and None in (before, value)):
                        self.differ.setdefault(f"{name}.{key}", f"{id}: {before!r} by {there}, {value!r} by {where}")
        for value in part.values():
            self.add(value, where, hidden=hidden)


async def read(estate: Estate, seen: Seen, op: Operation[Any], raw: Any, person: Person, plot: Plot) -> None:
    hidden = person is not estate.world.owner
    for _, name, definition in graphql_fields()[op.name]:
        row: Any = get_named_type(definition.type)
        paged = row.name.endswith("Connection")
        row = get_named_type(row.fields["nodes"].type) if paged else row
        if is_leaf_type(row):
            continue
        variables = arguments(op, definition, raw, plot.workspace.id)
        declared = ", ".join(f"${each}: {definition.args[each].type}" for each in variables)
        passed = ", ".join(f"{each}: ${each}" for each in variables)
        for selected in selections(row):
            asked = f"{{ nodes {selected} }}" if paged else selected
            text = f"query{f'({declared})' if declared else ''} {{ {name}{f'({passed})' if passed else ''} {asked} }}"
            headers = {"authorization": f"Bearer {person.token}"}
            answer = await estate.client.post("/graphql", json={"query": text, "variables": variables}, headers=headers)
            content = answer.json()
            for fault in content.get("errors", ()):
                assert "path" in fault, f"{text}: {fault['message']}"
                break
            seen.add(content.get("data"), f"{name} {variables} as {person.name}", hidden=hidden)


@pytest.fixture(scope="module")
async def shared(estate: Estate) -> Estate:
    """The owner is a member of both, an agent ran within a month and within a day, and somebody who has left one
    workspace, or has not accepted its membership, is a member of the other one.
    """
    world, agent = estate.world, estate.home["agent"]
    here: dict[str, Any] = {"workspace_id": estate.away.workspace.id, "role": Role.OWNER, "accepted_at": now()}
    await world.add(Membership(user_id=world.owner.user_id, **here))
    left, invited = [User(email=f"{name}@example.com", full_name=name, avatar_url="a.png") for name in ("Lea", "Ida")]
    await world.add(left, invited)
    here |= {"role": Role.MEMBER}
    await world.add(*[Membership(user_id=each.id, **here) for each in (left, invited)])
    await world.add(Membership(user_id=invited.id, **here | {"workspace_id": world.workspace.id, "accepted_at": None}))
    paused = "UPDATE missions SET paused_at = now(), paused_by = $2 WHERE id = $1"
    await world.database.execute(paused, estate.home["mission"].id, left.id)
    ended: dict[str, Any] = {"agent_id": agent.id, "triggered_by": "tests", **estate.home.here}
    run = estate.home["run"].__dict__ | {
        "created_at": now() - timedelta(days=9),
        "started_at": now() - timedelta(days=9),
    }
    run = {name: value for name, value in run.items() if name not in ("id", "assignment_id", "chat_id")}
    await world.add(Run(**(run | ended)))
    return estate


async def differences(estate: Estate, reads: list[Operation[Any]]) -> tuple[Seen, set[str]]:
    """What differs between paths for one caller, and what differs between callers."""
    seen = Seen()
    for op in reads:
        for plot in (estate.home, estate.away):
            for raw in variants(op, estate, plot, *TEXTS.get(op.name, ())):
                await read(estate, seen, op, raw, estate.world.owner, plot)
    others = Seen(seen.known)
    for op in reads:
        for name in ("admin", "member", "viewer"):
            await read(estate, others, op, valid(op, estate), estate.person(name), estate.home)
    return seen, set(others.differ)


async def test_one_id_means_one_object_where_the_path_counts(shared: Estate) -> None:
    reads = [op for op in READS if op.name.startswith(QUICK)]
    seen, _ = await differences(shared, reads)
    assert seen.differ == {}
    assert {"IssueRelation", "FeatureFlag", "Member", "Skill", "SkillUsage"} <= {name for name, _ in seen.known}
    people = {row["email"][0] for (name, _), row in seen.known.items() if name == "User" and "email" in row}
    assert {"Lea@example.com", "Ida@example.com"} <= people


@pytest.mark.slow
async def test_one_id_means_one_object(shared: Estate) -> None:
    seen, by_caller = await differences(shared, READS)
    assert seen.differ == {}
    assert {each for each in by_caller if not each.endswith(".viewerCan")} <= BY_CALLER
    assert {"Agent", "Chat", "Crew", "Issue", "Mission", "Run", "User", "Workspace"} <= {name for name, _ in seen.known}


async def test_a_credential_that_is_used_between_two_reads_is_the_same_object(shared: Estate) -> None:
    seen, reads = Seen(), [op for op in READS if op.name in ("auth.cli_tokens_list", "auth.sessions_list")]
    assert len(reads) == 2
    for _ in range(2):
        for op in reads:
            await read(shared, seen, op, valid(op, shared), shared.world.owner, shared.home)
        for table in ("sessions", "cli_tokens"):
            await shared.world.database.execute(f"UPDATE {table} SET last_used_at = now() + interval '1 hour'")
    assert {"ActiveSession", "CliToken"} <= {name for name, _ in seen.known}
    assert seen.differ == {}


def test_an_object_that_differs_is_found() -> None:
    seen = Seen()
    seen.add({"a": {"__typename": "Label", "id": "1", "name": "x", "color": "red"}}, "one")
    seen.add([{"__typename": "Label", "id": "1", "name": "x"}, {"__typename": "Label", "id": "2", "name": "y"}], "two")
    assert seen.differ == {}
    seen.add({"__typename": "Label", "id": "1", "name": None}, "three", hidden=True)
    assert seen.differ == {}
    seen.add({"b": [{"__typename": "Label", "id": "1", "color": "blue"}]}, "four")
    assert seen.differ == {"Label.color": "1: 'red' by one, 'blue' by four"}
