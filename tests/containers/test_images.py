"""Images that were built for crews, and containers of a workspace: who sees and removes them."""

from collections.abc import AsyncIterator, Sequence
from typing import Any
from urllib.parse import quote

import pytest

from models.base import new_id
from models.staff.crews import Crew
from resolvers.instance.ports import CachedImage, InUse, NotRun
from resolvers.instance.running import instance
from runtime.containers.choice import cached_tag
from tests.every import each_of
from tests.world import World

pytestmark = pytest.mark.anyio
TAG = "crewship-cache:1f"
IMAGES = "/api/v1/cache/images"


class Engine:
    """What an engine has, without one."""

    def __init__(self) -> None:
        self.has, self.used, self.gone = [TAG, "crewship-cache:2f"], set[str](), False
        self.containers = {"old": True, "b": False, "a": False}
        self.sticks = ""
        self.workspaces = list[str]()

    def _ask(self) -> None:
        if self.gone:
            raise NotRun("The container engine does not answer")

    async def images(self) -> Sequence[CachedImage]:
        self._ask()
        return [CachedImage(tag, 10, 1795848716) for tag in self.has]

    async def remove_image(self, tag: str, *, force: bool) -> bool:
        self._ask()
        if tag in self.used and not force:
            raise InUse
        if found := tag in self.has:
            self.has.remove(tag)
        return found

    async def outdated(self, workspace_id: str) -> Sequence[str]:
        self._ask()
        self.workspaces.append(workspace_id)
        return [name for name, old in self.containers.items() if old]

    async def prune(self, workspace_id: str, removed: list[str], *, outdated: bool) -> None:
        self._ask()
        self.workspaces.append(workspace_id)
        for name in sorted(name for name, old in self.containers.items() if old or not outdated):
            if name == self.sticks:
                raise NotRun("The container engine answered 500: device or resource busy")
            del self.containers[name]
            removed.append(name)


@pytest.fixture
async def engine(world: World) -> AsyncIterator[Engine]:
    await world.database.execute("UPDATE crews SET cached_image = NULL")
    made = Engine()
    instance.containers = made  # type: ignore[assignment]
    yield made
    instance.containers = None


async def crew(world: World, workspace: str = "", **given: Any) -> Crew:
    row = Crew(workspace_id=workspace or world.workspace.id, name="Engine", slug=new_id(), **given)
    await world.add(row)
    return row


async def delete(world: World, tag: str, force: str = "") -> tuple[int, dict[str, object]]:
    async with world.client(world.admin) as client:
        given = {"workspace_id": world.workspace.id} | ({"force": force} if force else {})
        answer = await client.delete(f"{IMAGES}/{quote(tag, safe='')}", params=given)
    return answer.status_code, answer.json()


@each_of(
    ("name", "tag"),
    {
        TAG: TAG,
        f"docker.io/library/{TAG}": TAG,
        f"localhost/{TAG}": TAG,
        f"evil.example/{TAG}": "",
        "crewship-cache:": "",
        "debian:13": "",
        "<none>:<none>": "",
    }.items(),
)
def test_an_image_of_a_registry_is_none_of_ours(name: str, tag: str) -> None:
    assert cached_tag(name) == tag


async def test_images_are_listed_with_the_crews_of_the_workspace(world: World, engine: Engine) -> None:
    row = await crew(world, cached_image=TAG)
    await crew(world, world.other.id, cached_image=TAG)
    listed = await world.rest(world.viewer, "GET", IMAGES)
    assert (listed.status_code, listed.json()) == (
        200,
        {
            "images": [
                {"tag": TAG, "size": 10, "created_at": 1795848716, "referenced_by": [row.slug]},
                {"tag": "crewship-cache:2f", "size": 10, "created_at": 1795848716, "referenced_by": []},
            ]
        },
    )
    engine.gone = True
    failed = await world.rest(world.viewer, "GET", IMAGES)
    assert (failed.status_code, failed.json()["error"]) == (502, "The container engine does not answer")


async def test_an_image_that_is_used_is_deleted_by_force_alone(world: World, engine: Engine) -> None:
    row = await crew(world, cached_image=TAG)
    status, told = await delete(world, TAG)
    assert (status, told["error"], told["referenced_by"]) == (409, "The image is used by crews", [row.slug])
    await crew(world, world.other.id, cached_image="crewship-cache:2f")
    status, told = await delete(world, "crewship-cache:2f")
    assert (status, told["referenced_by"]) == (409, [])
    assert len(engine.has) == 2
    assert await delete(world, TAG, force="true") == (200, {"tag": TAG, "status": "deleted"})
    assert engine.has == ["crewship-cache:2f"]
    told_of = (await world.audit())[-1]
    assert (told_of["action"], told_of["data"]["image"]) == ("cache_image.deleted", TAG)


async def test_what_is_not_deleted(world: World, engine: Engine) -> None:
    before = await world.snapshot()
    for tag in ("debian:13", "crewship-cache", "crewship-cache:", f"evil/{TAG}", f"{TAG}/x", "crewship-cache:*"):
        status, told = await delete(world, tag)
        assert (status, str(told["error"])[:4]) == (400, "tag:"), tag
    assert (await delete(world, "crewship-cache:none"))[0] == 404
    engine.used.add(TAG)
    status, told = await delete(world, TAG)
    assert (status, told["error"]) == (409, "The image is used by a container")
    refused = await world.rest(world.manager, "DELETE", f"{IMAGES}/{quote(TAG, safe='')}")
    assert refused.status_code == 403
    engine.gone = True
    assert (await delete(world, TAG))[0] == 502
    assert engine.has == [TAG, "crewship-cache:2f"]
    assert await world.snapshot() == before


async def test_what_earlier_releases_have_left_is_found_and_removed(world: World, engine: Engine) -> None:
    path, prune = "/api/v1/admin/legacy-resources", "/api/v1/admin/prune-legacy-resources"
    assert (await world.rest(world.admin, "GET", path)).json() == {"present": True}
    assert (await world.rest(world.admin, "POST", prune)).json() == {"removed": ["old"], "count": 1}
    assert (await world.rest(world.admin, "GET", path)).json() == {"present": False}
    assert (await world.rest(world.manager, "GET", path)).status_code == 403
    assert set(engine.workspaces) == {world.workspace.id}
    engine.gone = True
    assert (await world.rest(world.admin, "GET", path)).status_code == 502


async def test_a_prune_that_fails_on_the_way_says_how_far_it_came(world: World, engine: Engine) -> None:
    engine.sticks = "b"
    path = "/api/v1/admin/prune-crew-runtimes"
    failed = await world.rest(world.admin, "POST", path)
    assert failed.status_code == 502
    assert (failed.json()["removed"], failed.json()["count"]) == (["a"], 1)
    engine.sticks = ""
    assert (await world.rest(world.manager, "POST", path)).status_code == 403
    assert (await world.rest(world.admin, "POST", path)).json() == {"removed": ["b", "old"], "count": 2}
    assert (await world.audit())[-1]["action"] == "workspace.containers_removed"
