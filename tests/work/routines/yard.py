"""Routines over REST: documents to save, and ways to see what came of it."""

import json
from typing import Any

import httpx2

from tests.work.issues.board import Board, word
from tests.world import Person

STEP = {"id": "a", "type": "transform", "transform": {"input": "7", "expression": "."}}
CODE = {"id": "b", "type": "code", "code": {"runtime": "cel", "code": "1 + 1"}}


def document(*steps: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"name": "tides", "steps": list(steps) or [STEP], **more}


def pipelines(board: Board, path: str = "") -> str:
    return f"/api/v1/workspaces/{board.crew.workspace_id}/pipelines{path}"


async def save(board: Board, slug: str, definition: Any, person: Person | None = None, **more: Any) -> httpx2.Response:
    """By the owner, who needs no test."""
    return await send(board, {"slug": slug, "definition": definition} | more, person)


async def send(board: Board, body: dict[str, Any], person: Person | None = None) -> httpx2.Response:
    sent = {"skip_test_gate": True} | body
    return await board.ask("POST", pipelines(board, "/save"), sent, person or board.world.owner)


async def saved(board: Board, slug: str = "", definition: Any = None, **more: Any) -> dict[str, Any]:
    answer = await save(board, slug or word(), definition or document(), **more)
    assert answer.status_code == 201, answer.text[:500]
    return answer.json()  # type: ignore[no-any-return]


async def as_sent(board: Board, path: str, body: str, person: Person | None = None) -> httpx2.Response:
    """A body whose bytes count."""
    async with board.world.client(person or board.world.owner) as client:
        return await client.post(path, content=body.encode(), headers={"content-type": "application/json"})


async def act(
    board: Board, method: str, slug: str, path: str = "", body: Any = None, person: Person | None = None
) -> httpx2.Response:
    return await board.ask(method, pipelines(board, f"/{slug}{path}"), body, person or board.world.owner)


async def changes(board: Board, since: int) -> list[str]:
    """The reasons of the events about the catalogue."""
    return [
        event["payload"]["reason"] for event in await board.world.events(since) if event["type"] == "pipeline.saved"
    ]


async def items(board: Board, slug: str) -> list[tuple[str, str | None]]:
    """State and decision of the inbox items of a routine."""
    source = f"routineprop:{board.crew.workspace_id}:{slug}"
    rows = await board.world.database.fetch(
        "SELECT state, resolved_action FROM inbox_items WHERE source_id = $1 ORDER BY created_at", source
    )
    return [(row["state"], row["resolved_action"]) for row in rows]


def written(definition: Any) -> str:
    """Bytes that no program writes by itself."""
    return json.dumps(definition, indent=3).replace(":", " : ", 1)
