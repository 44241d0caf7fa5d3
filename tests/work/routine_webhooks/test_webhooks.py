"""Webhooks of routines over REST and GraphQL: what is stored and shown once, what is refused, and the public route."""

import hmac
import json
from typing import Any

import pytest

from tests.every import each_of
from tests.work.issues.board import UNKNOWN, Board, word
from tests.work.routines.yard import document, saved
from tests.world import World

pytestmark = pytest.mark.anyio


def webhooks(board: Board, path: str = "") -> str:
    return f"/api/v1/workspaces/{board.crew.workspace_id}/pipeline-webhooks{path}"


async def made(board: Board, **body: Any) -> dict[str, Any]:
    routine = await saved(board, word(), document())
    answer = await board.ask("POST", webhooks(board), {"target_pipeline_slug": routine["slug"], **body})
    assert answer.status_code == 201, answer.text[:500]
    return answer.json() | {"slug": routine["slug"]}  # type: ignore[no-any-return]


async def fire(board: Board, token: str, body: bytes = b"{}", secret: str = "topsecret", **headers: str) -> Any:
    made = hmac.digest(secret.encode(), body, "sha256").hex()
    sent = {"x-crewship-signature": f"sha256={made}", **headers}
    async with board.world.client(None, **sent) as client:
        return await client.post(f"/api/v1/webhooks/{token}", content=body)


async def test_a_webhook_shows_its_token_once(board: Board) -> None:
    hook = await made(board, signing_secret="topsecret", rate_limit_per_min=-5, inputs_template={"extra": "E"})
    slug = hook.pop("slug")
    assert hook == {
        "id": hook["id"], "workspace_id": board.crew.workspace_id, "name": slug,
        "target_pipeline_id": hook["target_pipeline_id"], "target_pipeline_slug": slug, "token": hook["token"],
        "scheme": "crewship", "signing_secret_set": True, "signing_secret": "topsecret",
        "inputs_template": {"extra": "E"}, "enabled": True, "rate_limit_per_min": -5, "fire_count": 0,
        "created_at": hook["created_at"], "updated_at": hook["updated_at"],
    }  # fmt: skip
    assert (hook["id"][:5], hook["token"][:3], len(hook["token"])) == ("pwh_c", "wh_", 67)
    [shown] = [row for row in await board.read(webhooks(board)) if row["id"] == hook["id"]]
    hidden = {"token": "", "signing_secret": None}
    assert shown == {name: value for name, value in (hook | hidden).items() if value is not None}
    row = await board.world.database.fetchrow("SELECT * FROM routine_webhooks WHERE id = $1", hook["id"])
    assert hook["token"] not in str(row)
    assert "topsecret" not in str(row)
    log = await board.world.database.fetch("SELECT * FROM audit_logs WHERE entity_id = $1", hook["id"])
    assert [entry["action"] for entry in log] == ["routine_webhook.created"]
    assert hook["token"] not in str([dict(entry) for entry in log])
    assert (await board.ask("DELETE", webhooks(board, f"/{hook['id']}"))).status_code == 403
    gone = await board.ask("DELETE", webhooks(board, f"/{hook['id']}"), None, board.world.admin)
    again = await board.ask("DELETE", webhooks(board, f"/{hook['id']}"), None, board.world.admin)
    assert (gone.status_code, again.status_code) == (204, 404)


async def test_the_public_route(board: Board) -> None:
    hook = await made(board, signing_secret="topsecret")
    answer = await fire(board, hook["token"], b'{"action": "go"}', **{"x-custom": "c1"})
    assert answer.status_code == 202, answer.text[:500]
    assert answer.json() == {"run_id": answer.json()["run_id"], "status": "PENDING", "deduped": False}
    run = await board.read(f"/api/v1/workspaces/{board.crew.workspace_id}/pipeline-runs/{answer.json()['run_id']}")
    inputs = run["inputs"]
    assert (inputs["event"], inputs["raw"], inputs["headers"]["x_custom"]) == (
        {"action": "go"},
        '{"action": "go"}',
        "c1",
    )
    assert "x_crewship_signature" not in inputs["headers"]
    again = await fire(board, hook["token"], b'{"action": "go"}')
    assert again.json() == {"run_id": run["id"], "status": "DEDUPED", "deduped": True}
    assert (await fire(board, hook["token"], secret="other")).status_code == 401
    assert (await fire(board, "wh_nope")).status_code == 404
    assert (await fire(board, "x" * 3000)).status_code in (400, 404)
    async with board.world.client(None) as client:
        assert (await client.post(f"/api/v1/webhooks/{hook['token']}", content=b"{}")).status_code == 401
        assert (await client.post("/api/v1/webhooks/wh_nope", content=b"{}")).status_code == 404
        assert (await client.get(f"/api/v1/webhooks/{hook['token']}")).status_code == 405
    large = await fire(board, hook["token"], b"x" * (1 << 20) + b"y")
    assert large.status_code == 413


async def test_a_rate_says_when_to_come_again(board: Board) -> None:
    hook = await made(board, signing_secret="topsecret", rate_limit_per_min=1)
    assert (await fire(board, hook["token"], b"1")).status_code == 202
    full = await fire(board, hook["token"], b"2")
    assert (full.status_code, full.headers["retry-after"]) == (429, "60")


async def test_a_session_or_token_is_no_signature(board: Board) -> None:
    hook = await made(board)
    async with board.world.client(board.world.owner) as client:
        assert (await client.post(f"/api/v1/webhooks/{hook['token']}", content=b"{}")).status_code == 401


@each_of(
    "body, field",
    [
        ({"target_pipeline_slug": ""}, "target_pipeline_slug"),
        ({"target_pipeline_slug": "nope"}, "target_pipeline_slug"),
        ({"target_pipeline_id": UNKNOWN}, "target_pipeline_id"),
        ({"scheme": "morse"}, "scheme"),
        ({"scheme": "standard_webhooks", "signing_secret": "x"}, "signing_secret"),
        ({"signing_secret": "x" * 201}, "signing_secret"),
        ({"signing_secret": 5}, "signing_secret"),
        ({"inputs_template": []}, "inputs_template"),
        ({"rate_limit_per_min": "5"}, "rate_limit_per_min"),
        ({"rate_limit_per_min": 2**40}, "rate_limit_per_min"),
        ({"target_pipeline_version": -1}, "target_pipeline_version"),
        ({"enabled": 1}, "enabled"),
    ],
)
async def test_bad_input_is_refused_and_writes_nothing(board: Board, body: dict[str, Any], field: str) -> None:
    routine = await saved(board, word(), document())
    before = await board.world.snapshot()
    answer = await board.ask("POST", webhooks(board), {"target_pipeline_slug": routine["slug"]} | body)
    assert (answer.status_code, [*answer.json()["fields"]]) == (400, [field])
    assert await board.world.snapshot() == before


async def test_another_workspace_has_its_own(world: World, board: Board) -> None:
    hook, theirs = await made(board), await Board.of(world, world.other)
    assert await theirs.read(webhooks(theirs)) == []
    assert (await theirs.ask("DELETE", webhooks(theirs, f"/{hook['id']}"))).status_code == 404
    body = {"target_pipeline_id": hook["target_pipeline_id"]}
    assert (await theirs.ask("POST", webhooks(theirs), body)).status_code == 400
    member = await board.ask("POST", webhooks(board), {"target_pipeline_slug": hook["slug"]}, world.member)
    assert member.status_code == 403


async def test_graphql_shows_the_same(board: Board) -> None:
    routine = await saved(board, word(), document())
    create = """mutation($ws: ID, $slug: String!) { createRoutineWebhook(workspaceId: $ws, input: {
        targetPipelineSlug: $slug, scheme: github, inputsTemplate: {extra: 1} }) {
        id token signingSecret scheme inputsTemplate } }"""
    hook = await board.data(create, slug=routine["slug"])
    assert (hook["scheme"], hook["inputsTemplate"], len(hook["signingSecret"])) == ("github", {"extra": 1}, 64)
    query = """query($ws: ID) { routineWebhooks(workspaceId: $ws) { nodes {
        id routine { slug webhooks { id } } runAs { fullName } fireCount } } }"""
    [row] = [row for row in (await board.data(query))["nodes"] if row["id"] == hook["id"]]
    assert row == {
        "id": hook["id"], "routine": {"slug": routine["slug"], "webhooks": [{"id": hook["id"]}]},
        "runAs": {"fullName": "Manager Example"}, "fireCount": 0,
    }  # fmt: skip
    delete = "mutation($ws: ID, $id: ID!) { deleteRoutineWebhook(workspaceId: $ws, input: {id: $id}) { id } }"
    assert await board.data(delete, board.world.admin, id=hook["id"]) == {"id": hook["id"]}
    assert json.dumps(await board.data(query)).count(hook["id"]) == 0
