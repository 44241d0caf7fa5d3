"""GraphQL: the caller's sessions, tokens and tickets. Accounts are in test_accounts.py, where no user exists."""

from typing import Any

import pytest

from resolvers.instance.crypto import TokenKind
from resolvers.instance.running import instance
from tests.people.auth.browsers import Browser, signed_in
from tests.world import World

pytestmark = pytest.mark.anyio


async def run(browser: Browser, query: str, **variables: Any) -> dict[str, Any]:
    answer: dict[str, Any] = (
        await browser.send("POST", "/graphql", json={"query": query, "variables": variables})
    ).json()
    return answer


async def test_the_sessions_of_a_browser(world: World) -> None:
    browser, user = await signed_in(world)
    second = Browser(world.url)
    await second.log_in(user.email)
    sessions = (await run(browser, "{ sessions { id isCurrent createdAt lastUsedAt userAgent ip } }"))["data"][
        "sessions"
    ]
    assert [one["isCurrent"] for one in sessions] == [False, True]
    assert (sessions[0]["ip"], sessions[0]["userAgent"] != "") == ("127.0.0.1", True)
    revoke = "mutation($in: ByIdInput!) { revokeSession(input: $in) { ok id isCurrent } }"
    other = sessions[0]["id"]
    assert (await run(browser, revoke, **{"in": {"id": other}}))["data"]["revokeSession"] == {
        "ok": True,
        "id": other,
        "isCurrent": False,
    }
    assert (await run(second, "{ sessions { id } }"))["errors"][0]["extensions"] == {
        "code": "UNAUTHENTICATED",
        "reason": "session_revoked",
    }
    assert (await run(browser, revoke, **{"in": {"id": "s_x"}}))["errors"][0]["extensions"]["code"] == "NOT_FOUND"


async def test_a_cli_token_lives(world: World) -> None:
    create = (
        "mutation($in: CreateCliTokenInput!) {"
        " createCliToken(input: $in) { token id name tier createdAt expiresAt scopes } }"
    )
    made = (
        await world.graphql(
            world.owner, create, {"in": {"tier": "ADMIN", "expiresInSeconds": 60, "scopes": ["crews:read"]}}
        )
    )["data"]["createCliToken"]
    assert (made["name"], made["tier"], made["scopes"], made["expiresAt"] is not None) == (
        "CLI token",
        "ADMIN",
        ["crews:read"],
        True,
    )
    plain = (await world.graphql(world.owner, create, {"in": {"name": "plain"}}))["data"]["createCliToken"]
    assert (plain["expiresAt"], plain["scopes"]) == (None, None)
    token = Browser(world.url)
    answer = await token.send(
        "POST",
        "/graphql",
        json={"query": "{ validateCliToken { valid userId userEmail } }"},
        headers={"authorization": f"Bearer {made['token']}"},
    )
    assert answer.json()["data"]["validateCliToken"] == {
        "valid": True,
        "userId": world.owner.user_id,
        "userEmail": world.owner.email,
    }
    listed = (await world.graphql(world.owner, "{ cliTokens { id name tier expiresAt lastUsedAt revokedAt } }"))[
        "data"
    ]["cliTokens"]
    assert [one["id"] for one in listed[:2]] == [plain["id"], made["id"]]
    gone = await world.graphql(
        world.owner, "mutation($in: ByIdInput!) { revokeCliToken(input: $in) { status } }", {"in": {"id": plain["id"]}}
    )
    assert gone["data"]["revokeCliToken"] == {"status": "revoked"}
    listed = (await world.graphql(world.owner, "{ cliTokens { id revokedAt } }"))["data"]["cliTokens"]
    assert [one["revokedAt"] is not None for one in listed[:2]] == [True, False]


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"scopes": ["*"]}, "FORBIDDEN"),
        ({"tier": "ADMIN"}, "FORBIDDEN"),
        ({"scopes": ["x"]}, "BAD_REQUEST"),
        ({"name": "a\0"}, "BAD_REQUEST"),
    ],
)
async def test_a_token_that_may_not_be_made(world: World, given: dict[str, Any], code: str) -> None:
    before = await world.snapshot()
    answer = await world.graphql(
        world.member, "mutation($in: CreateCliTokenInput!) { createCliToken(input: $in) { token } }", {"in": given}
    )
    assert (answer["data"], answer["errors"][0]["extensions"]["code"]) == ({"createCliToken": None}, code)
    assert await world.snapshot() == before


async def test_a_ticket(world: World) -> None:
    browser, user = await signed_in(world)
    ticket = (await run(browser, "{ wsToken { token } }"))["data"]["wsToken"]["token"]
    claims = instance.signer.read(TokenKind.ws, ticket, now=instance.clock.seconds())
    assert (claims.user_id, claims.session_id is not None) == (user.id, True)


async def test_redirects_stay_with_rest(world: World) -> None:
    fields = (
        await world.graphql(None, "{ __schema { queryType { fields { name } } mutationType { fields { name } } } }")
    )["data"]["__schema"]
    names = {field["name"] for kind in fields.values() for field in kind["fields"]}
    assert {
        "sessions",
        "cliTokens",
        "validateCliToken",
        "wsToken",
        "bootstrap",
        "signup",
        "csrfToken",
        "signIn",
        "signOut",
        "refreshSession",
        "revokeSession",
        "createCliToken",
        "revokeCliToken",
    } <= names
    assert names.isdisjoint({"login", "logIn", "refresh", "signout", "csrf", "session", "providers"})
