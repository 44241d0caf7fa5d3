"""REST: crews, as the contract states them."""

import json
from typing import Any

import pytest

from models.base import new_id
from models.staff.agents import Agent
from models.staff.crews import Crew
from resolvers.instance.license import COMMUNITY, Limit
from resolvers.rules.devcontainer import COMMON_UTILS_DEFAULT
from tests.every import each_of
from tests.world import World, now

pytestmark = pytest.mark.anyio
CREWS = "/api/v1/crews"
MINIMAL = {"name": "Engine", "slug": "engine"}
TAKEN = "A crew with this slug already exists"
NETWORK = "network_mode: must be free or restricted"


async def made(world: World, slug: str, **fields: Any) -> dict[str, Any]:
    answer = await world.rest(world.manager, "POST", CREWS, {"name": f"Crew {slug}", "slug": slug, **fields})
    assert answer.status_code == 201, answer.text
    crew: dict[str, Any] = answer.json()
    return crew


async def test_a_crew_of_nothing_but_a_name_has_the_defaults(world: World) -> None:
    answer = await world.rest(world.manager, "POST", CREWS, MINIMAL)
    crew = answer.json()
    assert answer.status_code == 201
    assert crew == {
        "id": crew["id"],
        "workspace_id": world.workspace.id,
        "name": "Engine",
        "slug": "engine",
        "description": None,
        "color": None,
        "icon": None,
        "avatar_style": None,
        "container_memory_mb": 4096,
        "container_cpus": 2,
        "container_ttl_hours": None,
        "network_mode": "restricted",
        "allowed_domains": [],
        "issue_prefix": None,
        "max_ephemeral_agents": 10,
        "created_at": crew["created_at"],
        "updated_at": crew["created_at"],
        "_count": {"agents": 0, "members": 0},
    }


async def test_a_crew_of_everything_reads_as_it_was_written(world: World) -> None:
    sent = {
        "description": "",
        "color": "any",
        "icon": "Ship",
        "container_memory_mb": 512,
        "container_cpus": 0.5,
        "container_ttl_hours": 8,
        "network_mode": "Restricted",
        "allowed_domains": [" https://API.Example.com:8443/v1 ", "*.x.com", "10.0.0.1:80", "*.x.com"],
        "runtime_image": "ghcr.io/team/image:1",
        "mise_config": '[tools]\nnode = "22"\n',
        "services_json": ' [{"name": "db", "image": "postgres:18"}] ',
    }
    crew = await made(world, "full", **sent)
    kept = sent | {
        "network_mode": "restricted",
        "allowed_domains": ["api.example.com", "*.x.com", "10.0.0.1", "*.x.com"],
        "services_json": sent["services_json"].strip(),
    }
    assert {name: crew[name] for name in kept} == kept
    assert (await world.rest(world.manager, "GET", f"{CREWS}/{crew['id']}")).json() == crew


async def test_nothing_and_less_mean_the_default(world: World) -> None:
    sent = {
        "container_memory_mb": 0,
        "container_cpus": -1.5,
        "container_ttl_hours": -3,
        "network_mode": "",
        "runtime_image": "",
        "devcontainer_config": "",
        "services_json": " ",
    }
    crew = await made(world, "defaults", **sent)
    assert (crew["container_memory_mb"], crew["container_cpus"], crew["container_ttl_hours"], crew["network_mode"]) == (
        4096,
        2,
        None,
        "restricted",
    )
    assert not {"runtime_image", "devcontainer_config", "services_json"} & crew.keys()


async def test_null_is_absent_and_other_keys_are_ignored(world: World) -> None:
    ignored = {
        "avatar_style": "a",
        "mcp_config_json": "no JSON",
        "escalation_config": "no JSON",
        "issue_prefix": "X",
        "max_ephemeral_agents": 99,
    }
    nulls = dict.fromkeys(
        (
            "description",
            "container_memory_mb",
            "container_cpus",
            "container_ttl_hours",
            "network_mode",
            "allowed_domains",
            "mise_config",
        )
    )
    crew = await made(world, "ignored", **ignored, **nulls)
    assert (
        crew["avatar_style"],
        crew["max_ephemeral_agents"],
        crew["container_memory_mb"],
        crew["allowed_domains"],
    ) == (None, 10, 4096, [])
    assert not {"mcp_config_json", "escalation_config", "mise_config"} & crew.keys()
    assert (await world.rest(world.owner, "GET", f"{CREWS}/{crew['id']}")).json()["issue_prefix"] is None


async def test_free_mode_neither_checks_nor_stores_domains(world: World) -> None:
    crew = await made(world, "free", network_mode="FREE", allowed_domains=["no domain at all"])
    assert (crew["network_mode"], crew["allowed_domains"]) == ("free", [])


async def test_common_utils_joins_a_devcontainer_of_a_new_crew(world: World) -> None:
    crew = await made(
        world,
        "devcontainer",
        devcontainer_config=(
            '{"image": "debian:13", "name": "dropped", "features": {"ghcr.io/devcontainers/features/node:1": {}}}'
        ),
    )
    stored = json.loads(crew["devcontainer_config"])
    assert stored == {
        "image": "debian:13",
        "features": {COMMON_UTILS_DEFAULT[0]: COMMON_UTILS_DEFAULT[1], "ghcr.io/devcontainers/features/node:1": {}},
    }
    text = '{"image": "debian:13", "features": {"GHCR.io/devcontainers/features/common-utils:1": {}}, "name": "kept"}'
    assert (await made(world, "declared", devcontainer_config=text))["devcontainer_config"] == text


LONG = "x" * 102_401
BAD = [
    ({"name": "x"}, "name: must have at least 2 characters"),
    ({"name": "x" * 101}, "name: must have at most 100 characters"),
    ({"name": 5}, "name: takes a text"),
    ({"slug": "x"}, "slug: must have at least 2 characters"),
    ({"slug": "x" * 51}, "slug: must have at most 50 characters"),
    ({"slug": "Upper"}, "slug: must have lower-case letters, digits, - and _"),
    ({"slug": "-dash"}, "slug: must have lower-case letters, digits, - and _"),
    ({"container_memory_mb": "4096"}, "container_memory_mb: takes a whole number"),
    ({"container_cpus": True}, "container_cpus: takes a number"),
    ({"allowed_domains": "example.com"}, "allowed_domains: takes a list"),
    ({"network_mode": "open"}, NETWORK),
    ({"allowed_domains": ["example.com", "localhost"]}, "allowed_domains: 'localhost' is not a domain"),
    ({"devcontainer_config": LONG}, "devcontainer_config: must be at most 102400 bytes"),
    ({"mise_config": LONG[:10_241]}, "mise_config: must be at most 10240 bytes"),
    ({"services_json": LONG[:65_537]}, "services_json: must be at most 65536 bytes"),
    ({"devcontainer_config": '{"features": {}}'}, "devcontainer_config: image: is required"),
    ({"mise_config": "[alias]"}, 'mise_config: line 1: only [tools], [env], comments and key = "value" are allowed'),
    (
        {"services_json": '[{"name": "db", "image": "p", "volumes": [{"name": "/etc", "mount": "/x"}]}]'},
        "[0].volumes[0].name",
    ),
    ({"runtime_image": "Not An Image"}, "runtime_image: is not an image reference"),
]


@each_of(("fields", "text"), BAD, ids=[f"{next(iter(fields))}-{number}" for number, (fields, _) in enumerate(BAD)])
async def test_a_bad_crew_is_refused_and_writes_nothing(world: World, fields: dict[str, Any], text: str) -> None:
    before = await world.snapshot()
    answer = await world.rest(world.owner, "POST", CREWS, {"name": "Bad", "slug": "bad", **fields})
    assert answer.status_code == 400
    body = answer.json()
    assert body["error"] == body["detail"]
    assert text in body["error"]
    assert (body["type"], body["title"], body["status"], body["instance"]) == ("about:blank", "Bad Request", 400, CREWS)
    assert next(iter(fields)) in body["fields"]
    assert await world.snapshot() == before


async def test_refusals_come_in_the_order_of_the_contract(world: World) -> None:
    """Role, JSON, name, slug, slug taken, network, sizes, devcontainer, mise, services, image."""
    await made(world, "first")
    body: dict[str, Any] = {
        "name": "x",
        "slug": "FIRST",
        "network_mode": "open",
        "devcontainer_config": LONG,
        "mise_config": LONG,
        "services_json": LONG,
        "runtime_image": "Not An Image",
    }
    forbidden = await world.rest(world.member, "POST", CREWS, body)
    assert (forbidden.status_code, forbidden.json()["detail"]) == (403, "Forbidden")
    async with world.client(world.member) as client:
        assert (await client.post(f"{CREWS}?workspace_id={world.workspace.id}", content=b"{")).status_code == 403
    async with world.client(world.manager) as client:
        malformed = await client.post(f"{CREWS}?workspace_id={world.workspace.id}", content=b"{")
    assert (malformed.status_code, malformed.json()["error"]) == (400, "Invalid JSON body")
    steps = [
        ("name", "First", 400, "name: "),
        ("slug", "first", 400, "slug: "),
        ("slug", "second", 409, TAKEN),
        ("network_mode", "free", 400, NETWORK),
        ("devcontainer_config", "{}", 400, "devcontainer_config: must be at most"),
        ("mise_config", "no mise", 400, "mise_config: must be at most"),
        ("services_json", "{}", 400, "services_json: must be at most"),
        ("devcontainer_config", '{"image": "i"}', 400, "devcontainer_config: "),
        ("mise_config", "", 400, "mise_config: "),
        ("services_json", "[]", 400, "services_json: "),
        ("runtime_image", "image", 400, "runtime_image: "),
    ]
    before = await world.snapshot()
    for field, cure, status, text in steps:
        answer = await world.rest(world.manager, "POST", CREWS, body)
        assert (answer.status_code, answer.json()["error"][: len(text)]) == (status, text)
        body[field] = cure
    assert await world.snapshot() == before
    assert (await world.rest(world.manager, "POST", CREWS, body)).status_code == 201


async def test_the_list_is_newest_first_and_by_id_within_an_instant(world: World) -> None:
    workspace, at = {"workspace_id": world.other.id}, now()
    crews = [
        Crew(
            name=f"C{n}", slug=f"c{n}", created_at=at, updated_at=at, issue_prefix="X", services_json="[]", **workspace
        )
        for n in range(3)
    ]
    gone = Crew(name="Gone", slug="gone", deleted_at=at, **workspace)
    await world.add(
        *crews,
        gone,
        Agent(crew_id=crews[0].id, name="A", slug="a", **workspace),
        Agent(crew_id=crews[0].id, name="B", slug="b", deleted_at=at, **workspace),
    )
    answer = await world.rest(world.outsider, "GET", CREWS, workspace="other")
    listed = answer.json()
    assert [crew["id"] for crew in listed] == sorted((crew.id for crew in crews), reverse=True)
    assert {crew["issue_prefix"] for crew in listed} == {None}
    assert {crew["services_json"] for crew in listed} == {"[]"}
    assert {crew["id"]: crew["_count"] for crew in listed}[crews[0].id] == {"agents": 1, "members": 0}
    assert (await world.rest(world.outsider, "GET", f"{CREWS}/{crews[0].id}", workspace="other")).json()[
        "issue_prefix"
    ] == "X"
    assert (await world.rest(world.outsider, "GET", f"{CREWS}/{gone.id}", workspace="other")).status_code == 404


async def test_the_window_of_the_list(world: World) -> None:
    await world.add(*[Crew(name=f"W{n}", slug=f"w{n}", workspace_id=world.workspace.id) for n in range(120)])
    async with world.client(world.viewer) as client:

        async def listed(**query: Any) -> list[str]:
            answer = await client.get(CREWS, params={"workspace_id": world.workspace.id, **query})
            assert answer.status_code == 200
            return [crew["id"] for crew in answer.json()]

        everything = await listed(limit=100)
        assert [len(await listed(limit=limit)) for limit in ("", "x", "0", "-1", "7", "101", "999999999999")] == [
            50,
            50,
            50,
            50,
            7,
            100,
            100,
        ]
        assert await listed() == everything[:50]
        assert await listed(limit=5, offset=10) == everything[10:15]
        assert await listed(limit=5, offset=-10) == await listed(limit=5, offset="x") == everything[:5]


async def test_a_crew_is_found_by_id_alone_and_in_its_own_workspace(world: World) -> None:
    crew = await made(world, "found")
    for person, id, workspace in (
        (world.owner, "found", world.workspace.id),
        (world.owner, new_id(), world.workspace.id),
        (world.outsider, crew["id"], world.other.id),
    ):
        for method in ("GET", "PATCH", "PUT", "DELETE"):
            body = {} if method in ("PATCH", "PUT") else None
            answer = await world.rest(person, method, f"{CREWS}/{id}", body, workspace=workspace)
            assert (answer.status_code, answer.json()["error"]) == (404, "Crew not found")


async def test_a_deleted_crew_is_gone(world: World) -> None:
    crew = await made(world, "brief")
    assert (await world.rest(world.manager, "DELETE", f"{CREWS}/{crew['id']}")).status_code == 403
    answer = await world.rest(world.admin, "DELETE", f"{CREWS}/{crew['id']}")
    assert (answer.status_code, answer.json()) == (200, {"success": True})
    for method in ("GET", "DELETE"):
        assert (await world.rest(world.admin, method, f"{CREWS}/{crew['id']}")).status_code == 404


async def test_if_match_guards_a_crew(world: World) -> None:
    crew = await made(world, "matched")
    path = f"{CREWS}/{crew['id']}"
    tag = (await world.rest(world.admin, "GET", path)).headers["etag"]
    assert (await world.rest(world.admin, "PATCH", path, {"color": "rose"}, **{"if-match": tag})).status_code == 200
    before = await world.snapshot()
    for method, body in (("PATCH", {"color": "lime"}), ("PUT", {"color": "lime"}), ("DELETE", None)):
        assert (await world.rest(world.admin, method, path, body, **{"if-match": tag})).status_code == 412
    assert await world.snapshot() == before


async def test_without_a_configured_license_no_crew_is_one_too_many(world: World) -> None:
    await world.add(
        *[Crew(name=f"L{n}", slug=f"l{n}", workspace_id=world.workspace.id) for n in range(COMMUNITY[Limit.crews])]
    )
    assert (
        await world.rest(world.manager, "POST", "/api/v1/crews", {"name": "One more", "slug": "one-more"})
    ).status_code == 201
