"""Hostile requests to /graphql of instances with settings of their own."""

import hashlib
import json
from typing import Any

import httpx2
import pytest
from graphql import get_introspection_query

from tests.attacks.graphql import post
from tests.world import world_on

pytestmark = pytest.mark.anyio

SCOPES = "mutation($s: [String!]) { createCliToken(input: {scopes: $s}) { id } }"


async def test_a_trusted_document_has_the_same_limits(database: Any, tmp_path: Any) -> None:
    dear = (
        "{ crews(first: 100) { nodes { agents(first: 100) {"
        " nodes { crew { agents(first: 100) { nodes { id } } } } } } } }"
    )
    wide = "{ labels { " + " ".join(f"a{n}: name" for n in range(50)) + " } }"
    texts = {hashlib.sha256(text.encode()).hexdigest(): text for text in (SCOPES, dear, wide)}
    file = tmp_path / "documents.json"
    file.write_text(json.dumps(texts))
    async with (
        world_on(database, tmp_path, trusted_documents_file=file, trusted_documents_only=True) as world,
        world.client(world.owner) as client,
    ):
        for id in texts:
            answer = await client.post("/graphql", json={"documentId": id, "variables": {"s": [1] * 100_000}})
            assert "data" not in answer.json()
            assert len(answer.content) < 10_000


async def test_allowed_origins_ask_by_get(database: Any, tmp_path: Any) -> None:
    async with (
        world_on(database, tmp_path, allowed_origins=("https://ui.example",)) as world,
        httpx2.AsyncClient(base_url=world.url, verify=False) as client,
    ):
        for origin, status in (("https://ui.example", 200), ("https://ui.example.evil.example", 403)):
            for site in ({}, {"sec-fetch-site": "cross-site"}):
                answer = await client.get(
                    "/graphql",
                    params={"query": "{ __typename }"},
                    headers={"accept": "application/json", "origin": origin} | site,
                )
                assert answer.status_code == status


@pytest.mark.slow
async def test_a_closed_schema_is_shown_to_callers_with_a_good_credential_only(database: Any, tmp_path: Any) -> None:
    async with world_on(database, tmp_path, open_schema=False) as world:
        forged = {"authorization": "Bearer crewship_cli_" + "0" * 64}
        beside = "{ ...A } fragment A on Query { version { current } __schema { queryType { name } } }"
        for query in (get_introspection_query(), '{ __type(name: "Crew") { name } }', beside):
            for headers in ({}, forged):
                cost = await post(world, query, **headers)
                assert (cost.codes, "data" in cost.json) == ({"UNAUTHENTICATED"}, False)
            cost = await post(world, query, authorization=f"Bearer {world.viewer.token}")
            assert cost.json["data"]
        for path in ("/api/openapi.json", "/openapi.json", "/api/docs", "/openapi"):
            for headers in ({}, forged):
                refused = await world.client(**headers).get(path)
                assert (refused.status_code, "paths" in refused.text) == (401, False), path
                assert refused.json()["status"] == 401
            assert (await world.client(world.viewer).get(path)).status_code == 200
        wrong = await post(world, "{ labelz { id } crews { nodes { nam } } }")
        assert wrong.codes == {"BAD_REQUEST"}
        assert "Did you mean" not in wrong.body.decode()
        assert (await post(world, "{ __typename }")).json["data"] == {"__typename": "Query"}
