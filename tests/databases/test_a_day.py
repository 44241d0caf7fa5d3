"""What a service is for, on every PostgreSQL: rows are made and changed, and agents are asked."""

from typing import Any

import pytest

from tests.world import World

pytestmark = [pytest.mark.anyio, pytest.mark.thorough]


async def test_rows_are_made_changed_and_asked(world: World) -> None:
    async def call(method: str, path: str, body: Any = None) -> Any:
        answer = await world.rest(world.owner, method, f"/api/v1{path}", body)
        assert answer.status_code in (200, 201, 202), f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json()

    crew = await call("POST", "/crews", {"name": "Crew", "slug": "crew"})
    agent = await call("POST", "/agents", {"name": "Ann", "slug": "ann", "crew_id": crew["id"], "agent_role": "LEAD"})
    await call("PATCH", f"/crews/{crew['id']}", {"description": "changed"})
    await call("PATCH", f"/agents/{agent['id']}", {"role_title": "changed"})
    await call("PATCH", f"/workspaces/{world.workspace.id}", {"name": "Changed"})
    issue = await call("POST", f"/crews/{crew['id']}/issues", {"title": "To do"})
    await call("PATCH", f"/crews/{crew['id']}/issues/{issue['identifier']}", {"title": "Done"})
    chat = await call("POST", f"/agents/{agent['id']}/chats", {})
    document = "mutation($input: SendMessageInput!) { sendMessage(input: $input) { runId } }"
    sent = await world.graphql(world.owner, document, {"input": {"chatId": chat["id"], "content": "hello"}})
    assert sent["data"]["sendMessage"]["runId"], sent
    assert (await call("GET", "/crews"))[0]["description"] == "changed"
