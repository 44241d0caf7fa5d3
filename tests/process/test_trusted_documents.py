"""Documents by their sha256, and a server that runs no other."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from tests.world import World, world_on

pytestmark = pytest.mark.anyio
KNOWN, UNKNOWN = "{ viewer { email } }", "{ viewer { id } }"
ID = hashlib.sha256(KNOWN.encode()).hexdigest()


async def ask(world: World, **body: Any) -> tuple[int, dict[str, Any]]:
    answer = await world.client(world.owner).post("/graphql", json=body)
    return answer.status_code, answer.json()


@pytest.mark.parametrize("only", [False, True])
async def test_known_documents_are_run_by_their_hash(database: Any, tmp_path: Path, only: bool) -> None:
    file = tmp_path / "documents.json"
    file.write_text(json.dumps({ID: KNOWN}))
    async with world_on(database, tmp_path, trusted_documents_file=file, trusted_documents_only=only) as world:
        expected = {"viewer": {"email": world.owner.email}}
        for body in ({"documentId": ID}, {"documentId": f"sha256:{ID}"}, {"query": KNOWN}):
            status, answer = await ask(world, **body)
            assert (status, answer["data"]) == (200, expected)
        status, answer = await ask(world, documentId="0" * 64)
        assert status == 404
        assert "data" not in answer
        status, answer = await ask(world, query=UNKNOWN)
        assert status == (403 if only else 200)
        assert ("data" in answer) is not only
