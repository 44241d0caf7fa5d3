"""Documents by their sha256, and a server that runs no other."""

import hashlib
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from crewship.process.app import create_app
from crewship.process.database import StartError
from crewship.process.trusted_documents import read_documents
from tests.every import each_of
from tests.process.commands import CREWSHIP
from tests.world import World, settings_for, world_on

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


@each_of("key", [f"sha256:{ID}", f"sha256:{ID.upper()}", ID.upper()])
def test_a_key_is_taken_as_codegen_writes_it(key: str, tmp_path: Path) -> None:
    file = tmp_path / "documents.json"
    file.write_text(json.dumps({key: KNOWN}))
    assert read_documents(file) == {ID: KNOWN}


async def test_a_manifest_of_codegen_is_run(database: Any, tmp_path: Path) -> None:
    file = tmp_path / "documents.json"
    file.write_text(json.dumps({f"sha256:{ID}": KNOWN}))
    async with world_on(database, tmp_path, trusted_documents_file=file, trusted_documents_only=True) as world:
        for body in ({"documentId": ID}, {"documentId": f"sha256:{ID}"}, {"query": KNOWN}):
            status, answer = await ask(world, **body)
            assert (status, answer["data"]) == (200, {"viewer": {"email": world.owner.email}})


@each_of(
    "content",
    [
        json.dumps({ID: UNKNOWN}),
        json.dumps({ID: KNOWN, f"sha256:{'0' * 64}": KNOWN}),
        json.dumps({"viewer": KNOWN}),
        json.dumps({f"sha256:sha256:{ID}": KNOWN}),
        json.dumps({hashlib.sha1(KNOWN.encode()).hexdigest(): KNOWN}),
        json.dumps({ID: {"text": KNOWN}}),
        json.dumps([KNOWN]),
        json.dumps({"a": chr(0xD800)}),
        "not JSON",
    ],
)
def test_a_file_with_wrong_keys_is_refused_at_start(content: str, tmp_path: Path) -> None:
    file = tmp_path / "documents.json"
    file.write_text(content)
    with pytest.raises(StartError, match=r"CREWSHIP_TRUSTED_DOCUMENTS_FILE: .*documents\.json"):
        create_app(settings_for("postgresql://nowhere", tmp_path, trusted_documents_file=file))


def test_a_server_refuses_to_start_with_wrong_keys_and_says_which(tmp_path: Path) -> None:
    file = tmp_path / "documents.json"
    file.write_text(json.dumps({ID: KNOWN, "1" * 64: UNKNOWN}))
    given = {"CREWSHIP_TRUSTED_DOCUMENTS_FILE": str(file), "CREWSHIP_DATA_DIR": str(tmp_path / "data")}
    command = [*CREWSHIP, "serve", "--port", "0"]
    made = subprocess.run(command, check=False, env=os.environ | given, capture_output=True, text=True)
    assert made.returncode == 1
    assert made.stderr.startswith("crewship: CREWSHIP_TRUSTED_DOCUMENTS_FILE: ")
    assert "1 of 2 keys" in made.stderr
    assert "1" * 64 in made.stderr
    assert "Traceback" not in made.stderr
    assert not (tmp_path / "data").exists()


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StartError, match="cannot be read"):
        read_documents(tmp_path / "none.json")
    assert read_documents(None) == {}
