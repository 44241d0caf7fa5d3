"""REST: what an update of a crew changes, field by field."""

import asyncio
from typing import Any

import pytest

from models.staff.crews import Crew
from tests.world import World, now

pytestmark = pytest.mark.anyio
CREWS = "/api/v1/crews"
SERVERS = '{"mcpServers": {"charts": {"command": "charts"}}}'


@pytest.fixture
async def crew(world: World) -> Crew:
    """A crew with something in every field, and an image built for it."""
    number = await world.database.fetchval("SELECT count(*) FROM crews")
    made = Crew(
        workspace_id=world.workspace.id, name="Engine", slug=f"engine-{number}", description="d", color="c", icon="i",
        avatar_style="a",
        container_ttl_hours=8, allowed_domains=["example.com"], mcp_config_json=SERVERS, escalation_config="{}",
        issue_prefix="ENG", runtime_image="image",
        devcontainer_config='{"image": "i"}', mise_config="[tools]", services_json="[]",
        cached_image="crewship-cache:1", config_hash="1",
    )  # fmt: skip
    await world.add(made)
    return made


async def patch(world: World, crew: Crew, body: dict[str, Any], method: str = "PATCH") -> dict[str, Any]:
    answer = await world.rest(world.admin, method, f"{CREWS}/{crew.id}", body)
    assert answer.status_code == 200, answer.text
    changed: dict[str, Any] = answer.json()
    return changed


async def stored(world: World, crew: Crew) -> dict[str, Any]:
    return dict(await world.database.fetchrow("SELECT * FROM crews WHERE id = $1", crew.id))


async def test_an_answer_to_an_update_hides_the_services_and_the_prefix(world: World, crew: Crew) -> None:
    changed = await patch(world, crew, {"name": "Motor"})
    whole = (await world.rest(world.admin, "GET", f"{CREWS}/{crew.id}")).json()
    assert (whole["services_json"], whole["issue_prefix"], whole["name"]) == ("[]", "ENG", "Motor")
    assert changed == {name: value for name, value in whole.items() if name != "services_json"} | {"issue_prefix": None}


SAME: list[dict[str, Any]] = [
    {},
    {"unknown": 1},
    {
        "name": None,
        "slug": None,
        "runtime_image": None,
        "network_mode": None,
        "allowed_domains": None,
        "mise_config": None,
    },
]


@pytest.mark.parametrize("body", SAME)
@pytest.mark.parametrize("method", ["PATCH", "PUT"])
async def test_an_update_of_nothing_moves_the_time_alone(
    world: World, crew: Crew, body: dict[str, Any], method: str
) -> None:
    before = await stored(world, crew)
    await patch(world, crew, body, method)
    after = await stored(world, crew)
    assert after["updated_at"] > before["updated_at"]
    assert after == before | {"updated_at": after["updated_at"], "version": before["version"] + 1}


CHANGES: list[tuple[dict[str, Any], dict[str, Any]]] = [
    (
        {"description": "", "color": "", "icon": "", "avatar_style": ""},
        {"description": "", "color": "", "icon": "", "avatar_style": ""},
    ),
    ({"container_memory_mb": -5, "container_cpus": -0.5}, {"container_memory_mb": -5, "container_cpus": -0.5}),
    ({"container_ttl_hours": 0}, {"container_ttl_hours": None}),
    ({"container_ttl_hours": 3}, {"container_ttl_hours": 3}),
    ({"max_ephemeral_agents": 0}, {"max_ephemeral_agents": 0}),
    ({"max_ephemeral_agents": 100}, {"max_ephemeral_agents": 100}),
    ({"mcp_config_json": ""}, {"mcp_config_json": ""}),
    ({"mcp_config_json": '{"mcpServers": {}}'}, {"mcp_config_json": '{"mcpServers": {}}'}),
    ({"escalation_config": ""}, {"escalation_config": None}),
    ({"escalation_config": '{"notify_threshold": 0.5}'}, {"escalation_config": '{"notify_threshold": 0.5}'}),
    ({"issue_prefix": ""}, {"issue_prefix": None}),
    ({"issue_prefix": "any prefix"}, {"issue_prefix": "any prefix"}),
    ({"services_json": " \n"}, {"services_json": None}),
    ({"services_json": ' [{"name": "db", "image": "p"}] '}, {"services_json": '[{"name": "db", "image": "p"}]'}),
    ({"runtime_image": ""}, {"runtime_image": None, "cached_image": None, "config_hash": None}),
    ({"runtime_image": "image"}, {"cached_image": None, "config_hash": None}),
    ({"devcontainer_config": ""}, {"devcontainer_config": None, "cached_image": None, "config_hash": None}),
    (
        {"devcontainer_config": '{"image": "other"}'},
        {"devcontainer_config": '{"image": "other"}', "cached_image": None, "config_hash": None},
    ),
    ({"mise_config": ""}, {"mise_config": None, "cached_image": None, "config_hash": None}),
    ({"mise_config": "[tools]"}, {"cached_image": None, "config_hash": None}),
    ({"network_mode": "FREE", "allowed_domains": ["no domain"]}, {"network_mode": "free", "allowed_domains": []}),
    ({"network_mode": "restricted"}, {}),
    ({"allowed_domains": []}, {"allowed_domains": []}),
    (
        {"allowed_domains": ["https://B.example.com/x", "a.example.com:1"]},
        {"allowed_domains": ["b.example.com", "a.example.com"]},
    ),
]


@pytest.mark.parametrize(
    ("sent", "changed"), CHANGES, ids=[f"{'-'.join(sent)}-{number}" for number, (sent, _) in enumerate(CHANGES)]
)
async def test_what_is_sent_changes_and_nothing_else(
    world: World, crew: Crew, sent: dict[str, Any], changed: dict[str, Any]
) -> None:
    before = await stored(world, crew)
    await patch(world, crew, sent)
    after = await stored(world, crew)
    assert after == before | changed | {"updated_at": after["updated_at"], "version": before["version"] + 1}


async def test_a_crew_in_free_mode_ignores_domains_until_it_is_restricted(world: World, crew: Crew) -> None:
    await world.database.execute(
        "UPDATE crews SET network_mode = 'free', allowed_domains = $2 WHERE id = $1", crew.id, ["kept.example.com"]
    )
    assert (await patch(world, crew, {"allowed_domains": ["not a domain"]}))["allowed_domains"] == ["kept.example.com"]
    changed = await patch(world, crew, {"network_mode": "restricted"})
    assert (changed["network_mode"], changed["allowed_domains"]) == ("restricted", ["kept.example.com"])
    await patch(world, crew, {"network_mode": "free"})
    changed = await patch(world, crew, {"network_mode": "restricted", "allowed_domains": ["New.example.com"]})
    assert changed["allowed_domains"] == ["new.example.com"]


BAD: list[dict[str, Any]] = [
    {"name": "x"},
    {"slug": "UPPER"},
    {"container_ttl_hours": -1},
    {"max_ephemeral_agents": -1},
    {"max_ephemeral_agents": 101},
    {"network_mode": ""},
    {"network_mode": "open"},
    {"allowed_domains": ["localhost"]},
    {"mcp_config_json": "[]"},
    {"mcp_config_json": '{"mcpServers": []}'},
    {"escalation_config": '{"notify_threshold": 2}'},
    {"escalation_config": '{"auto_approve_threshold": 0.5, "require_approval_below": 0.5}'},
    {"runtime_image": "Not An Image"},
    {"devcontainer_config": "{}"},
    {"devcontainer_config": '{"image": "' + "i" * 102_400 + '"}'},
    {"mise_config": "no mise"},
    {"services_json": "{}"},
    {"services_json": "[" + " " * 65_536 + "]"},
]


@pytest.mark.parametrize("body", BAD, ids=[f"{next(iter(body))}-{number}" for number, body in enumerate(BAD)])
async def test_a_bad_update_is_refused_and_writes_nothing(world: World, crew: Crew, body: dict[str, Any]) -> None:
    before = await world.snapshot()
    answer = await world.rest(world.admin, "PATCH", f"{CREWS}/{crew.id}", body)
    assert answer.status_code == 400
    assert answer.json()["error"].startswith(f"{next(iter(body))}: ")
    assert await world.snapshot() == before


async def test_a_devcontainer_is_not_normalised_by_an_update(world: World, crew: Crew) -> None:
    text = '{ "image": "debian:13", "unknown": 1 }'
    assert (await patch(world, crew, {"devcontainer_config": text}))["devcontainer_config"] == text


async def test_the_slug_of_another_crew_is_a_conflict(world: World, crew: Crew) -> None:
    other = Crew(workspace_id=world.workspace.id, name="Other", slug=f"other-{crew.slug}")
    await world.add(other)
    before = await world.snapshot()
    answer = await world.rest(world.admin, "PATCH", f"{CREWS}/{crew.id}", {"slug": other.slug})
    assert (answer.status_code, answer.json()["error"]) == (409, "A crew with this slug already exists")
    assert await world.snapshot() == before
    assert (await patch(world, crew, {"slug": crew.slug}))["slug"] == crew.slug


async def test_the_slug_of_a_deleted_crew_is_taken_over(world: World, crew: Crew) -> None:
    gone = Crew(workspace_id=world.workspace.id, name="Gone", slug=f"gone-{crew.slug}", deleted_at=now())
    await world.add(gone)
    assert (await patch(world, crew, {"slug": gone.slug}))["slug"] == gone.slug
    assert (await stored(world, gone))["slug"] == f"{gone.slug}_deleted_{gone.id}"


async def test_updates_of_different_network_fields_at_once_end_as_one_after_the_other(world: World, crew: Crew) -> None:
    """Free mode holds no domains, whoever comes first."""
    for _ in range(10):
        await patch(world, crew, {"network_mode": "restricted", "allowed_domains": []})
        await asyncio.gather(
            patch(world, crew, {"network_mode": "free"}), patch(world, crew, {"allowed_domains": ["example.com"]})
        )
        row = await stored(world, crew)
        assert (row["network_mode"], row["allowed_domains"]) == ("free", [])


async def test_only_admins_update(world: World, crew: Crew) -> None:
    for method in ("PATCH", "PUT"):
        assert (await world.rest(world.manager, method, f"{CREWS}/{crew.id}", {"name": 1})).status_code == 403
