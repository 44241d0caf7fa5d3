"""From the address of an MCP server to a token in the vault, and all that may go wrong on the way."""

import asyncio
from typing import Any

import httpx2
import jwt
import pytest

from models.people.workspaces import Membership, Role
from models.resources.integrations import AgentIntegration, CrewIntegration, IntegrationScope, WorkspaceIntegration
from models.sealed import Sealed
from models.staff.agents import Agent
from models.staff.crews import Crew
from resolvers.resources.credentials.vault import opened
from resolvers.resources.oauth import consents, loopback
from tests.people.auth.browsers import signed_in
from tests.resources.oauth.server import Authorities, asked_for, challenge_of
from tests.world import Person, World

pytestmark = pytest.mark.anyio
BASE = "/api/v1/oauth"


BROWSERS = dict[str, str]()
"""The cookie of the browser in which the consent of a state was begun."""


async def connect(world: World, authorities: Authorities, name: str = "charts") -> dict[str, Any]:
    body = {"mcp_url": f"{authorities.url}/mcp", "server_name": name}
    answer = await world.rest(world.admin, "POST", f"{BASE}/auto-connect", body)
    assert answer.status_code == 200, answer.text
    made: dict[str, Any] = answer.json()
    BROWSERS[asked_for(made["auth_url"])["state"]] = answer.headers["set-cookie"].partition(";")[0]
    return made


async def come_back(world: World, person: Person | None = None, **told: str) -> httpx2.Response:
    """In the browser in which it was begun."""
    return await arrive(world, BROWSERS.get(told.get("state", "")), person, **told)


async def arrive(world: World, cookie: str | None, person: Person | None = None, **told: str) -> httpx2.Response:
    async with world.client(person) as client:
        return await client.get(f"{BASE}/callback", params=told, headers={} if cookie is None else {"cookie": cookie})


async def row_of(world: World, id: str) -> dict[str, Any]:
    return dict(await world.database.fetchrow("SELECT * FROM credentials WHERE id = $1", id))


async def text_of(row: dict[str, Any], column: str) -> str | None:
    return None if row[column] is None else (await opened(row["id"], column, Sealed(row[column]))).reveal()


async def test_an_mcp_server_is_connected_by_its_address(world: World, authorities: Authorities) -> None:
    made = await connect(world, authorities)
    assert set(made) == {"status", "auth_url", "credential_id"}
    asked, state = asked_for(made["auth_url"]), asked_for(made["auth_url"])["state"]
    assert {k: v for k, v in asked.items() if k not in ("state", "code_challenge", "redirect_uri")} == {
        "client_id": "registered", "response_type": "code", "access_type": "offline", "prompt": "consent",
        "code_challenge_method": "S256", "scope": "read write", "resource": f"{authorities.url}/mcp",
    }  # fmt: skip
    assert len(state) == 64
    assert authorities.to("/register")[0]["redirect_uris"] == [asked["redirect_uri"]]
    row = await row_of(world, made["credential_id"])
    assert (row["status"], row["value"], row["name"]) == ("PENDING", None, f"charts-oauth-{row['id'][-5:]}")
    assert await text_of(row, "oauth_client_secret") == "canary-of-the-client"

    page = await come_back(world, code="good", state=state, iss=authorities.url)
    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/html")
    assert page.headers["cache-control"] == "no-store"
    assert '<meta name="referrer" content="no-referrer">' in page.text
    assert "script-src 'sha256-" in page.headers["content-security-policy"]
    assert not any(word in page.text for word in ("canary", "good", state))
    (sent,) = authorities.to("/token")
    assert challenge_of(sent.pop("code_verifier")) == asked["code_challenge"]
    assert sent == {
        "grant_type": "authorization_code", "code": "good", "redirect_uri": asked["redirect_uri"],
        "client_id": "registered", "client_secret": "canary-of-the-client", "resource": f"{authorities.url}/mcp",
    }  # fmt: skip
    row = await row_of(world, made["credential_id"])
    assert (row["status"], await text_of(row, "value")) == ("ACTIVE", "canary-access")
    assert await text_of(row, "refresh_token") == "canary-refresh"
    assert row["token_expires_at"] == row["oauth_expires_at"].strftime("%Y-%m-%dT%H:%M:%SZ")
    assert await world.database.fetchval("SELECT count(*) FROM oauth_states") == 0
    shown = await world.rest(world.admin, "GET", f"/api/v1/credentials/{row['id']}")
    assert "canary" not in shown.text
    audited = [(one["action"], one["user_id"]) for one in await world.audit() if one["entity_id"] == row["id"]]
    assert audited == [("credential.created", world.admin.user_id), ("credential.connected", world.admin.user_id)]


async def test_a_state_is_good_once_and_for_whom_it_was_made(world: World, authorities: Authorities) -> None:
    made = await connect(world, authorities)
    state = asked_for(made["auth_url"])["state"]
    for told in (
        {},
        {"code": "good"},
        {"state": state},
        {"code": "good", "state": "0" * 64},
        {"code": "a", "state": "x"},
    ):
        assert (await come_back(world, **told)).status_code == 400
    refused = await come_back(world, error="access_denied<script>", state="x")
    assert (refused.status_code, "<script>" in refused.text) == (400, False)
    assert refused.headers["content-type"].startswith("text/plain")
    assert authorities.to("/token") == []
    answers = await asyncio.gather(*[come_back(world, code="good", state=state, iss=authorities.url) for _ in range(8)])
    assert sorted(answer.status_code for answer in answers) == [200, *[400] * 7]
    assert len(authorities.to("/token")) == 1


async def test_a_state_ends_after_fifteen_minutes(world: World, authorities: Authorities) -> None:
    state = asked_for((await connect(world, authorities))["auth_url"])["state"]
    await world.database.execute("UPDATE oauth_states SET created_at = now() - interval '15 minutes 1 second'")
    assert (await come_back(world, code="good", state=state)).status_code == 400
    await connect(world, authorities)
    assert await world.database.fetchval("SELECT count(*) FROM oauth_states") == 1


async def test_the_answer_of_another_server_is_refused(world: World, authorities: Authorities) -> None:
    """RFC 9207, against mixed-up servers: nobody is contacted, and nothing is kept."""
    authorities.metadata = {"authorization_response_iss_parameter_supported": True}
    for issuer in ("https://evil.example.com", "", f"{authorities.url}/"):
        made = await connect(world, authorities)
        told = {"code": "good", "state": asked_for(made["auth_url"])["state"]} | ({"iss": issuer} if issuer else {})
        assert (await come_back(world, **told)).status_code == 400
        assert (await row_of(world, made["credential_id"]))["value"] is None
    assert authorities.to("/token") == []


@pytest.mark.parametrize(
    "claims", [{"aud": "another"}, {"iss": "https://evil.example.com"}, {"aud": ["a", "b"]}, None], ids=str
)
async def test_tokens_for_somebody_else_are_refused(
    world: World, authorities: Authorities, claims: dict[str, Any] | None
) -> None:
    told = {"aud": "registered", "iss": authorities.url}
    key = "a key that nobody asks for: 0123456789"
    authorities.token = {"id_token": "x.y.z" if claims is None else jwt.encode(told | claims, key)}
    made = await connect(world, authorities)
    answer = await come_back(world, code="good", state=asked_for(made["auth_url"])["state"], iss=authorities.url)
    assert answer.status_code == 400
    assert (await row_of(world, made["credential_id"]))["value"] is None
    authorities.token = {"id_token": jwt.encode(told, key)}
    made = await connect(world, authorities)
    answer = await come_back(world, code="good", state=asked_for(made["auth_url"])["state"], iss=authorities.url)
    assert answer.status_code == 200


@pytest.mark.parametrize(
    ("status", "token"),
    [(400, {"error": "invalid_grant"}), (500, {}), (302, {}), (200, {"access_token": None}),
     (200, {"access_token": ""}),
     (200, {"access_token": {"a": 1}}), (200, {"access_token": "line\nbreak"}), (200, {"access_token": "x" * 70_000})],
    ids=lambda value: str(value)[:30],
)  # fmt: skip
async def test_what_is_no_token_is_a_bad_gateway(
    world: World, authorities: Authorities, status: int, token: dict[str, Any]
) -> None:
    authorities.status, authorities.token = status, token
    made = await connect(world, authorities)
    answer = await come_back(world, code="good", state=asked_for(made["auth_url"])["state"], iss=authorities.url)
    assert answer.status_code == 502
    row = await row_of(world, made["credential_id"])
    assert (row["value"], row["refresh_token"], row["status"]) == (None, None, "PENDING")


async def test_in_the_browser_of_another_user_it_is_refused(world: World, authorities: Authorities) -> None:
    """Who is lured to agree cannot be made to give their account to somebody else's workspace."""
    made = await connect(world, authorities)
    told = {"code": "good", "state": asked_for(made["auth_url"])["state"], "iss": authorities.url}
    browser, _ = await signed_in(world)
    assert (await browser.send("GET", f"{BASE}/callback", params=told)).status_code == 400
    assert authorities.to("/token") == []
    assert (await come_back(world, **told)).status_code == 200


async def test_in_a_browser_that_did_not_begin_it_it_is_refused(world: World, authorities: Authorities) -> None:
    """A stranger who is lured to agree, signed in nowhere or by a token, connects nothing."""
    made = await connect(world, authorities)
    state = asked_for(made["auth_url"])["state"]
    told = {"code": "good", "state": state, "iss": authorities.url}
    name, _, value = BROWSERS[state].partition("=")
    assert (name, len(value)) == ("crewship.browser", 64)
    other = await connect(world, authorities)
    assert BROWSERS[asked_for(other["auth_url"])["state"]] != BROWSERS[state]
    for cookie in (None, f"{name}={'0' * 64}", f"{name}=", f"{name}={value[:-1]}", f"__Host-{name}={value}"):
        for person in (None, world.viewer, world.owner, world.admin):
            assert (await arrive(world, cookie, person, **told)).status_code == 400, (cookie, person)
    assert authorities.to("/token") == []
    assert (await row_of(world, made["credential_id"]))["status"] == "PENDING"
    assert (await come_back(world, **told)).status_code == 200


async def test_a_browser_has_several_consents_under_way(world: World, authorities: Authorities) -> None:
    browser, user = await signed_in(world)
    await world.add(Membership(workspace_id=world.workspace.id, user_id=user.id, role=Role.ADMIN))
    begun = []
    for name in ("one", "two"):
        body, headers = {"mcp_url": f"{authorities.url}/mcp", "server_name": name}, {"origin": world.url}
        answer = await browser.send(
            "POST", f"{BASE}/auto-connect?workspace_id={world.workspace.id}", json=body, headers=headers
        )
        assert answer.status_code == 200, answer.text
        begun.append((answer.json()["auth_url"], browser.cookies["crewship.browser"]))
    assert begun[0][1] == begun[1][1]
    told = {"code": "good", "iss": authorities.url}
    signed_out = begun[0][1]
    state = asked_for(begun[1][0])["state"]
    assert (await arrive(world, f"crewship.browser={signed_out}", **told, state=state)).status_code == 200
    browser.cookies.pop("crewship.browser")  # the session of who began it is good, too
    state = asked_for(begun[0][0])["state"]
    assert (await browser.send("GET", f"{BASE}/callback", params=told | {"state": state})).status_code == 200


@pytest.mark.parametrize("lost", ["removed", "lowered", "deleted"])
async def test_who_has_lost_the_right_connects_nothing(world: World, authorities: Authorities, lost: str) -> None:
    person = await world.person(f"leaving-{lost}", Role.ADMIN)
    body = {"mcp_url": f"{authorities.url}/mcp", "server_name": "charts"}
    answer = await world.rest(person, "POST", f"{BASE}/auto-connect", body)
    made, cookie = answer.json(), answer.headers["set-cookie"].partition(";")[0]
    told = {"code": "good", "state": asked_for(made["auth_url"])["state"], "iss": authorities.url}
    if lost == "removed":
        path = f"/api/v1/workspaces/{world.workspace.id}/members/{person.user_id}"
        assert (await world.rest(world.owner, "DELETE", path)).status_code == 200
        assert await world.database.fetchval("SELECT count(*) FROM oauth_states") == 0, "it ended with the membership"
    elif lost == "lowered":
        await world.database.execute("UPDATE memberships SET role = 'MANAGER' WHERE user_id = $1", person.user_id)
    else:
        await world.database.execute("DELETE FROM memberships WHERE user_id = $1", person.user_id)
    assert (await arrive(world, cookie, **told)).status_code == (400 if lost == "removed" else 403)
    assert authorities.to("/token") == []
    row = await row_of(world, made["credential_id"])
    assert (row["status"], row["value"]) == ("PENDING", None)


async def test_the_right_may_be_lost_while_the_code_is_redeemed(
    world: World, authorities: Authorities, monkeypatch: pytest.MonkeyPatch
) -> None:
    person, redeemed = await world.person("leaving-late", Role.ADMIN), consents.redeemed

    async def then_lowered(*args: Any, **kwargs: Any) -> Any:
        tokens = await redeemed(*args, **kwargs)
        await world.database.execute("UPDATE memberships SET role = 'MEMBER' WHERE user_id = $1", person.user_id)
        return tokens

    monkeypatch.setattr(consents, "redeemed", then_lowered)
    body = {"mcp_url": f"{authorities.url}/mcp", "server_name": "charts"}
    answer = await world.rest(person, "POST", f"{BASE}/auto-connect", body)
    told = {"code": "good", "state": asked_for(answer.json()["auth_url"])["state"], "iss": authorities.url}
    assert (await arrive(world, answer.headers["set-cookie"].partition(";")[0], **told)).status_code == 403
    assert (await row_of(world, answer.json()["credential_id"]))["value"] is None


async def test_an_answer_to_a_listener_is_good_nowhere_else(world: World, authorities: Authorities) -> None:
    id = (await connect(world, authorities))["credential_id"]
    begun = await world.rest(world.admin, "POST", f"{BASE}/loopback", {"credential_id": id})
    assert "set-cookie" not in begun.headers
    told = {"code": "good", "state": begun.json()["state"], "iss": authorities.url}
    for cookie in (None, "crewship.browser=" + "0" * 64):
        assert (await arrive(world, cookie, **told)).status_code == 400
    other = asked_for((await connect(world, authorities))["auth_url"])["state"]
    port = begun.json()["loopback_port"]
    async with httpx2.AsyncClient() as client:
        page = await client.get(f"http://127.0.0.1:{port}/callback", params=told | {"state": other})
    assert "connected" not in page.text
    assert authorities.to("/token") == []


async def test_the_credential_is_given_to_the_server_it_was_got_for(world: World, authorities: Authorities) -> None:
    here = {"workspace_id": world.workspace.id}
    crew = Crew(name="Reef", slug=f"reef{authorities.url[-5:]}", **here)
    one, other = (Agent(name=n, slug=f"{n}{authorities.url[-5:]}", crew_id=crew.id, **here) for n in ("one", "other"))
    mine = CrewIntegration(
        crew_id=crew.id, name="charts", display_name="Charts", endpoint=f"{authorities.url}/mcp", **here
    )
    whole = WorkspaceIntegration(name="charts", display_name="Charts", endpoint=f"{authorities.url}/mcp", **here)
    lure = CrewIntegration(
        crew_id=crew.id, name="decoy", display_name="Charts", endpoint="https://evil.example.com/mcp", **here
    )
    await world.add(crew, one, other, mine, whole, lure)
    await world.add(
        AgentIntegration(agent_id=one.id, mcp_server_id=whole.id, mcp_server_scope=IntegrationScope.workspace, **here)
    )
    for name in ("charts", "decoy"):
        made = await connect(world, authorities, name)
        state = asked_for(made["auth_url"])["state"]
        assert (await come_back(world, code="good", state=state, iss=authorities.url)).status_code == 200
    found = await world.database.fetch(
        "SELECT agent_id, mcp_server_id, credential_id, cred_type FROM agent_mcp_bindings"
    )
    assert {(row["agent_id"], row["mcp_server_id"]) for row in found} == {
        (one.id, whole.id), (one.id, mine.id), (other.id, mine.id),
    }  # fmt: skip
    assert all(row["credential_id"] is not None and row["cred_type"] == "bearer" for row in found)


async def test_a_code_is_exchanged_by_hand(world: World, authorities: Authorities) -> None:
    made = await connect(world, authorities)
    id, asked = made["credential_id"], asked_for(made["auth_url"])
    other = (await connect(world, authorities))["credential_id"]
    path = f"{BASE}/exchange"
    body = {"credential_id": id, "code": "good", "state": asked["state"]}
    for wrong, status in (
        (body | {"credential_id": other}, 400), (body | {"state": "0" * 64}, 400),
        (body | {"credential_id": "cnope"}, 404),
        ({"code": "good"}, 400), ({"credential_id": id}, 400), (body | {"code": ""}, 400),
        (body | {"redirect_uri": "javascript:alert(1)"}, 400),
    ):  # fmt: skip
        assert (await world.rest(world.admin, "POST", path, wrong)).status_code == status, wrong
    assert authorities.to("/token") == []
    for person in (world.manager, world.viewer, world.outsider):
        assert (await world.rest(person, "POST", path, body)).status_code == 403
    answer = await world.rest(world.admin, "POST", path, body)
    assert (answer.status_code, answer.json()) == (200, {"status": "ok", "credential_id": id})
    assert challenge_of(authorities.to("/token")[0]["code_verifier"]) == asked["code_challenge"]
    assert (await row_of(world, id))["status"] == "ACTIVE"
    assert (await world.rest(world.admin, "POST", path, body)).status_code == 400


async def test_an_answer_to_the_machine_of_the_server(world: World, authorities: Authorities) -> None:
    id = (await connect(world, authorities))["credential_id"]
    begun = (await world.rest(world.admin, "POST", f"{BASE}/loopback", {"credential_id": id})).json()
    asked = asked_for(begun["auth_url"])
    assert asked["redirect_uri"] == f"http://127.0.0.1:{begun['loopback_port']}/callback"
    told = {"code": "good", "state": begun["state"], "iss": authorities.url}
    async with httpx2.AsyncClient() as client:
        assert (await client.get(f"http://127.0.0.1:{begun['loopback_port']}/other")).status_code == 404
        page = await client.get(asked["redirect_uri"], params=told)
        assert (page.status_code, "connected" in page.text, "canary" in page.text) == (200, True, False)
        with pytest.raises(httpx2.ConnectError):
            await client.get(asked["redirect_uri"], params=told)
    assert (await row_of(world, id))["status"] == "ACTIVE"


async def test_a_browser_is_told_of_a_fault(
    world: World, authorities: Authorities, monkeypatch: pytest.MonkeyPatch
) -> None:
    id = (await connect(world, authorities))["credential_id"]

    async def fails(*_: Any) -> None:
        raise RuntimeError("canary")

    before = list(loopback._listening)
    begun = (await world.rest(world.admin, "POST", f"{BASE}/loopback", {"credential_id": id})).json()
    [listener] = [each for each in loopback._listening if each not in before]
    monkeypatch.setattr(listener, "finish", fails)
    async with httpx2.AsyncClient(timeout=5) as client:
        page = await client.get(asked_for(begun["auth_url"])["redirect_uri"], params={"code": "x"})
    assert (page.status_code, "Start again" in page.text, "canary" in page.text) == (500, True, False)
    assert page.headers["connection"] == "close"
    assert listener not in loopback._listening


async def test_a_credential_that_cannot_ask_is_refused(world: World, authorities: Authorities) -> None:
    urls = {"oauth_auth_url": "https://auth.example.com/a?keep=1", "oauth_token_url": "https://auth.example.com/t"}
    whole = {"type": "OAUTH2", "oauth_client_id": "cid", **urls}
    bad: list[dict[str, Any]] = [
        {"type": "SECRET", "value": "canary"}, {"type": "OAUTH2"}, whole | {"oauth_client_id": ""},
        whole | {"oauth_token_url": ""}, whole | {"oauth_auth_url": "javascript:alert(1)"},
    ]  # fmt: skip
    for number, fields in enumerate(bad):
        made = await world.rest(world.admin, "POST", "/api/v1/credentials", {"name": f"bad{number}", **fields})
        body = {"credential_id": made.json()["id"]}
        for route in ("initiate", "loopback"):
            assert (await world.rest(world.admin, "POST", f"{BASE}/{route}", body)).status_code == 400, fields
    made = await world.rest(world.admin, "POST", "/api/v1/credentials", {"name": "good", **whole})
    begun = await world.rest(world.admin, "POST", f"{BASE}/initiate", {"credential_id": made.json()["id"]})
    assert asked_for(begun.json()["auth_url"])["keep"] == "1"
