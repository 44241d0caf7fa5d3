"""Python's HTTP clients: httpx2 with a cookie jar on both surfaces, gql on /graphql, as commands and scripts do."""

import asyncio
from typing import Any

import httpx2
import pytest
from gql import Client, gql
from gql.transport.exceptions import TransportQueryError
from gql.transport.requests import RequestsHTTPTransport
from graphql import build_schema, lexicographic_sort_schema, print_schema

from models.people.auth import User
from resolvers.instance.running import instance
from schema.bridge.root import sdl
from tests.clients.conftest import HERE
from tests.world import World

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

PASSWORD = "correct horse battery"
INTROSPECTION = {
    "specified_by_url": True,
    "directive_is_repeatable": True,
    "schema_description": True,
    "input_value_deprecation": True,
}
VIEWER = "{ viewer { email } }"


@pytest.fixture(scope="module")
async def user(world: World) -> User:
    """The owner of the workspace, with a password."""
    hashed = await instance.passwords.hash(PASSWORD)
    await world.database.execute("UPDATE users SET password_hash = $2 WHERE id = $1", world.owner.user_id, hashed)
    return User(id=world.owner.user_id, email=world.owner.email)


def _client(world: World, token: str | None, **options: Any) -> Client:
    headers = {"authorization": f"Bearer {token}"} if token else {}
    return Client(transport=RequestsHTTPTransport(f"{world.url}/graphql", headers=headers, timeout=30), **options)


@pytest.mark.parametrize("how", ["json", "data"])
async def test_a_login_opens_both_surfaces_by_cookie_and_by_bearer(world: World, user: User, how: str) -> None:
    async with httpx2.AsyncClient(base_url=world.url, timeout=30) as browser:
        token = (await browser.get("/api/auth/csrf")).json()["csrfToken"]
        fields = {"email": user.email, "password": PASSWORD, "csrfToken": token, "redirect": "false"}
        sent: dict[str, Any] = {how: fields}
        answer = await browser.post("/api/auth/callback/credentials", **sent)
        assert (answer.status_code, answer.json()["ok"]) == (200, True)
        session = await browser.get("/api/auth/session")
        assert session.json()["user"]["email"] == user.email
        made = await browser.post(
            "/api/v1/labels", params={"workspace_id": "workspace"}, json={"name": f"by {how}", "color": "#abcdef"}
        )
        assert made.status_code == 201, made.text
        seen = await browser.post("/graphql", json={"query": VIEWER})
        assert seen.json()["data"] == {"viewer": {"email": user.email}}
        bearer = browser.cookies["authjs.session-token"]
        given = {"authorization": f"Bearer {bearer}"}
        async with httpx2.AsyncClient(base_url=world.url, headers=given, timeout=30) as script:
            labels = (await script.get("/api/v1/labels", params={"workspace_id": "workspace"})).json()
            assert f"by {how}" in [label["name"] for label in labels]
            assert (await script.post("/graphql", json={"query": VIEWER})).json()["data"] == {
                "viewer": {"email": user.email}
            }
            assert (await browser.post("/api/auth/signout")).status_code == 200
            assert (await script.get("/api/v1/labels", params={"workspace_id": "workspace"})).status_code == 401


async def test_gql_introspects_the_whole_schema(world: World) -> None:
    client = _client(world, None, fetch_schema_from_transport=True, introspection_args=INTROSPECTION)
    await asyncio.to_thread(client.connect_sync)
    try:
        assert client.schema is not None
        assert print_schema(lexicographic_sort_schema(client.schema)) == print_schema(
            lexicographic_sort_schema(build_schema(sdl()))
        )
    finally:
        await asyncio.to_thread(client.close_sync)


async def test_gql_checks_documents_against_introspection_and_runs_them(world: World) -> None:
    def work() -> tuple[Any, Any, Any]:
        documents = gql((HERE / "documents" / "labels.graphql").read_text())
        with _client(world, world.owner.token, fetch_schema_from_transport=True) as session:
            ws = {"workspaceId": world.workspace.id}

            def run(name: str, **values: Any) -> Any:
                documents.operation_name, documents.variable_values = name, ws | values
                return session.execute(documents)

            made = run("CreateLabel", input={"name": "by gql", "color": "#000000"})["createLabel"]
            listed = run("Labels")["labels"]
            run("DeleteLabel", id=made["id"])
            return made, listed, run("Labels")["labels"]

    made, before, after = await asyncio.to_thread(work)
    assert made["name"] == "by gql"
    assert {"id": made["id"], "name": "by gql", "color": "#000000"} in before
    assert made["id"] not in [label["id"] for label in after]


async def test_gql_raises_what_the_server_refuses(world: World) -> None:
    def work() -> Any:
        request = gql((HERE / "documents" / "labels.graphql").read_text())
        request.operation_name = "CreateLabel"
        request.variable_values = {"workspaceId": world.workspace.id, "input": {"name": "never", "color": "#000000"}}
        with _client(world, world.viewer.token) as session, pytest.raises(TransportQueryError) as caught:
            session.execute(request)
        return caught.value

    fault = await asyncio.to_thread(work)
    assert fault.errors[0]["extensions"]["code"] == "FORBIDDEN"
    assert fault.data == {"createLabel": None}
