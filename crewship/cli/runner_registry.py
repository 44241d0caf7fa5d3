"""Registers, lists and revokes runners of a workspace, over the server's GraphQL schema."""

import json
from pathlib import Path
from typing import Any, Final

from crewship.cli import profiles
from crewship.cli.chat import find_workspace
from crewship.cli.client import Client
from crewship.cli.profiles import ClientError, Profile
from crewship.cli.terminal import printable

FOUND: Final = {
    "crew": "query ($ws: ID!, $id: ID!) { crew(workspaceId: $ws, id: $id) { id } }",
    "agent": "query ($ws: ID!, $id: ID!) { agent(workspaceId: $ws, id: $id) { id } }",
}
REGISTER: Final = (
    "mutation ($ws: ID!, $name: String!, $crew: ID, $agent: ID, $used: Boolean!) { registerRunner(workspaceId: $ws,"
    " input: {name: $name, crewId: $crew, agentId: $agent, inUse: $used}) { id token } }"
)
LIST: Final = (
    "query ($ws: ID!) { runners(workspaceId: $ws)"
    " { id name inUse connected seenAt refusedAt platform crew { slug } agent { slug } } }"
)
REVOKE: Final = "mutation ($ws: ID!, $id: ID!) { revokeRunner(workspaceId: $ws, id: $id) { id } }"


def place_of_runner(name: str) -> Path:
    """The file with the token of a runner: of a name, or, where there is a slash in it, the file itself."""
    if "/" in name:
        return Path(name)
    if not profiles.NAME.fullmatch(name):
        raise ClientError(f"{name!r} is not a valid runner name: use letters, digits, dots, - and _")
    return profiles.home() / "runners" / name


async def registered(found: Profile, name: str, *, crew: str | None, agent: str | None, in_use: bool) -> Path:
    place = place_of_runner(name)
    if place.exists():
        raise ClientError(f"{place} exists already; revoke that runner and remove the file, or choose another name")
    client = Client(found)
    try:
        ws = (await find_workspace(client))["id"]
        ids: dict[str, Any] = {"crew": None, "agent": None}
        for kind, wanted in (("crew", crew), ("agent", agent)):
            if wanted is not None:
                row = (await client.graphql(FOUND[kind], ws=ws, id=wanted))[kind]
                if row is None:
                    raise ClientError(f"there is no {kind} {wanted!r}")
                ids[kind] = row["id"]
        made = (await client.graphql(REGISTER, ws=ws, name=name, used=in_use, **ids))["registerRunner"]
    finally:
        await client.close()
    profiles.write(place, Profile(found.server, made["token"], ws))
    return place


async def listed(found: Profile, as_json: bool) -> None:
    client = Client(found)
    try:
        rows = (await client.graphql(LIST, ws=(await find_workspace(client))["id"]))["runners"]
    finally:
        await client.close()
    if as_json:
        return print(json.dumps(rows, ensure_ascii=False))
    for row in rows:
        whose = f"crew {row['crew']['slug']}" if row["crew"] else f"agent {(row['agent'] or {}).get('slug', '')}"
        state = "connected" if row["connected"] else "not connected"
        print(printable(f"{row['name']}\t{whose}\t{'in use' if row['inUse'] else 'not in use'}\t{state}"))


async def revoked(found: Profile, name: str) -> None:
    client = Client(found)
    try:
        ws = (await find_workspace(client))["id"]
        rows = (await client.graphql(LIST, ws=ws))["runners"]
        ids = [row["id"] for row in rows if name in (row["name"], row["id"])]
        if not ids:
            raise ClientError(f"there is no runner {name!r}")
        await client.graphql(REVOKE, ws=ws, id=ids[0])
    finally:
        await client.close()
