"""Service accounts in a world, and what acts with their tokens."""

from typing import Any

import httpx2

from tests.world import Person, World

ACCOUNTS = "/api/v1/service-accounts"


async def make(world: World, person: Person | None = None, **body: Any) -> httpx2.Response:
    return await world.rest(person or world.owner, "POST", ACCOUNTS, body)


async def account(world: World, name: str, role: str = "MANAGER") -> dict[str, Any]:
    answer = await make(world, name=name, role=role)
    assert answer.status_code == 201, answer.text
    return answer.json()  # type: ignore[no-any-return]


async def token(world: World, id: str, **body: Any) -> dict[str, Any]:
    answer = await world.rest(world.owner, "POST", f"{ACCOUNTS}/{id}/tokens", body)
    assert answer.status_code == 201, answer.text
    return answer.json()  # type: ignore[no-any-return]


async def robot(world: World, called: str, role: str = "MANAGER", **body: Any) -> Person:
    """A service account with a token, as somebody who calls."""
    made = await account(world, called, role)
    return Person(
        called, made["id"], f"{made['id']}@service-accounts.invalid", (await token(world, made["id"], **body))["token"]
    )
