"""How the tests of this directory call the service."""

from typing import Any

import httpx2

from tests.world import Person, World


async def call(
    world: World, person: Person | None, method: str, path: str = "", body: Any = None, **headers: str
) -> httpx2.Response:
    """A route below /api/v1/workspaces, which names the workspace itself."""
    return await world.rest(person, method, f"/api/v1/workspaces{path}", body, workspace=None, **headers)


async def at(
    world: World, person: Person | None, method: str, path: str = "", body: Any = None, **headers: str
) -> httpx2.Response:
    """A route below the world's workspace, addressed by its slug."""
    return await call(world, person, method, f"/{world.workspace.slug}{path}", body, **headers)


def outcome(answer: httpx2.Response) -> tuple[int, str]:
    """Status and text of a refusal."""
    body = answer.json()
    assert body["error"] == body["detail"]
    return answer.status_code, body["error"]
