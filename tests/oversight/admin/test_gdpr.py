"""What agents hold on a person: exported and deleted in one workspace, with a receipt each."""

from typing import Any

import httpx2
import pytest

from models.attention.inbox import InboxItem, InboxKind, inbox_item_id
from models.base import new_id
from models.people.privacy import PeerCard, UserModel
from models.staff.agents import Agent
from models.staff.memory import MemoryTier, MemoryVersion
from tests.oversight.admin.test_memory import keep
from tests.world import Person, World

pytestmark = pytest.mark.anyio


async def hold(world: World, person: Person, workspace_id: str = "") -> None:
    """A card, facts, a version and an item."""
    here: dict[str, Any] = {"workspace_id": workspace_id or world.workspace.id}
    agent = Agent(name="Hand", slug=f"hand-{new_id()[-6:]}", **here)
    source = new_id()
    card = {"user_slug": "sam", "path": "agent:hand/peers/sam.md", "bytes": 3, "content": "Tea"}
    item = {"kind": InboxKind.message, "source_id": source, "title": "Answered", "payload": {"a": 1}}
    await world.add(
        agent,
        PeerCard(agent_id=agent.id, user_id=person.user_id, **card, **here),
        UserModel(user_id=person.user_id, user_slug="sam", bytes=8, content="- a: Tea", **here),
        MemoryVersion(
            path="agent:hand/AGENT.md",
            tier=MemoryTier.agent,
            sha256="0" * 64,
            bytes=3,
            written_by=person.user_id,
            **here,
        ),
        InboxItem(id=inbox_item_id(InboxKind.message, source), target_user_id=person.user_id, **item, **here),
    )


@pytest.fixture(autouse=True)
async def empty(world: World) -> None:
    for table in ("peer_cards", "user_models", "memory_versions", "inbox_items", "gdpr_actions"):
        await world.database.execute(f"DELETE FROM {table}")


def path_of(person: Person) -> str:
    return f"/api/v1/admin/users/{person.user_id}/data"


async def delete(world: World, person: Person, body: Any, by: Person | None = None) -> httpx2.Response:
    return await world.rest(by or world.admin, "DELETE", path_of(person), body)


async def test_an_export_shows_what_is_held_here_and_leaves_a_receipt(world: World) -> None:
    await hold(world, world.member)
    await hold(world, world.viewer)
    await hold(world, world.member, world.other.id)
    shown = (await world.rest(world.admin, "GET", path_of(world.member))).json()
    assert {name: shown[name] for name in ("data_subject_id", "workspace_id")} == {
        "data_subject_id": world.member.user_id, "workspace_id": world.workspace.id,
    }  # fmt: skip
    assert "." in shown["exported_at"]
    ((card,), (version,), (item,)) = (shown[name] for name in ("peer_cards", "memory_versions", "inbox_items"))
    assert set(card) == {"id", "agent_id", "user_slug", "path", "bytes", "created_at", "updated_at"}
    (model,) = shown["user_models"]
    assert set(model) == {"id", "user_slug", "bytes", "created_at", "updated_at"}
    assert version["written_by"] == world.member.user_id
    assert item["payload_json"] == '{"a":1}'
    assert "body_md" not in item
    (row,) = await world.database.fetch("SELECT * FROM gdpr_actions")
    assert (row["id"], row["action"], row["status"], row["actor_user_id"], row["subject_id"]) == (
        shown["action_id"], "export", "completed", world.admin.user_id, world.member.user_id,
    )  # fmt: skip
    assert shown["action_id"].startswith("ga_")
    assert len(shown["action_id"]) == 35


async def test_a_deletion_removes_it_here_and_nothing_else(world: World) -> None:
    for person in (world.member, world.viewer):
        await hold(world, person)
    await hold(world, world.member, world.other.id)
    answer = await delete(world, world.member, {"reason": " asked by mail "})
    assert answer.status_code == 202
    receipt = answer.json()
    assert receipt == {
        "action_id": receipt["action_id"], "data_subject": world.member.user_id, "workspace_id": world.workspace.id,
        "rows_deleted": 4, "scope": {"peer_cards": 1, "user_models": 1, "memory_versions": 1, "inbox_items": 1},
    }  # fmt: skip
    for table in ("peer_cards", "user_models", "memory_versions", "inbox_items"):
        assert await world.database.fetchval(f"SELECT count(*) FROM {table}") == 2, table
    again = (await delete(world, world.member, {"reason": "again"})).json()
    assert again["rows_deleted"] == 0
    rows = await world.database.fetch("SELECT * FROM gdpr_actions ORDER BY created_at")
    assert [(row["action"], row["reason"]) for row in rows] == [("delete", "asked by mail"), ("delete", "again")]
    assert (await world.rest(world.member, "GET", "/api/v1/labels")).status_code == 200  # account and membership stay


async def test_an_unknown_person_has_nothing(world: World) -> None:
    for method, body in (("GET", None), ("DELETE", {"reason": "who"})):
        path = "/api/v1/admin/users/cnobody00000000000000000/data"
        answer = await world.rest(world.admin, method, path, body)
        assert answer.status_code in (200, 202)
        assert answer.json().get("rows_deleted", 0) == 0


@pytest.mark.parametrize(
    "body", [{}, {"reason": ""}, {"reason": "  "}, {"reason": 1}, {"reason": None}, [], None], ids=str
)
async def test_a_deletion_needs_a_reason(world: World, body: Any) -> None:
    await hold(world, world.member)
    before = await world.snapshot()
    assert (await delete(world, world.member, body)).status_code == 400
    assert (await delete(world, world.member, {"reason": "x"}, by=world.manager)).status_code == 403
    assert await world.snapshot() == before


async def test_texts_go_with_their_versions_unless_somebody_else_wrote_them_too(world: World) -> None:
    own, shared = await keep(world, "agent:ann/A.md", "mine alone"), await keep(world, "agent:ann/B.md", "of both")
    other = await keep(world, "agent:bob/B.md", "of both")
    await world.database.execute("UPDATE memory_versions SET written_by = 'somebody' WHERE id = $1", other)
    folder = world.settings.storage_path / "workspaces" / world.workspace.id / "memory"
    before = {path.read_text() for path in folder.iterdir()}
    assert {"mine alone", "of both"} <= before
    await delete(world, world.member, {"reason": "asked"})
    assert {path.read_text() for path in folder.iterdir()} == before - {"mine alone"}
    ids = [row["id"] for row in await world.database.fetch("SELECT id FROM memory_versions")]
    assert (own in ids, shared in ids, other in ids) == (False, False, True)
