"""Tickets travel in addresses, so they are kept in logs and histories: what one is worth to somebody who finds it."""

import asyncio
import json
from datetime import timedelta
from typing import Any

import pytest

from models.people.auth import TokenTier
from resolvers.errors import Code, Refusal
from resolvers.identity import credentials
from resolvers.identity.caller import TICKETS, Caller, CredentialKind
from resolvers.identity.credentials import TICKET_LIFETIME
from resolvers.instance.crypto import TokenKind
from resolvers.instance.running import instance
from resolvers.kernel.declarations.operation import OPERATIONS, Auth, Operation
from tests.every import for_every
from tests.live.graphql import CREWS, VIEWER, socket
from tests.live.sockets import ticket
from tests.people.auth.browsers import Browser, signed_in
from tests.world import Person, World

pytestmark = pytest.mark.anyio
ACCOUNTS = (
    "{ wsToken { token } }",
    'mutation { createCliToken(input: {name: "persist"}) { token } }',
    "{ cliTokens { id } }",
    "{ sessions { id } }",
    'mutation { revokeSession(input: {id: "s_1"}) { ok } }',
    'mutation { createWorkspace(input: {name: "Mine", slug: "mine"}) { id } }',
)

OPEN = {
    "activity.list", "journal.count", "journal.get", "journal.list", "journal.follow", "journal.list_as_seen",
    "journal.lookup",
    "agents.crews_status", "agents.find", "agents.get",
    "agents.learning_get", "agents.list", "agents.load", "agents.logs",
    "agents.persona_get", "agents.persona_history", "agents.runs",
    "channels.agent", "channels.crew", "channels.identify", "channels.mission", "channels.providers",
    "channels.session", "channels.user",
    "channels.workspace",
    "chats.cancel", "chats.get", "chats.list", "chats.list_all", "chats.messages", "chats.participants_list",
    "chats.reactions_list", "chats.resume", "chats.send", "chats.steer", "conversations.search", "crews.persona.get",
    "webhooks.list",
    "crew_connections.list", "crews.assignments.list", "crews.capabilities", "crews.get", "crews.list",
    "crews.members.list", "crews.peer_conversations.list",
    "crews.provision.status", "escalations.list", "escalations.pending_count", "feature_flags.list",
    "inbox.count", "inbox.get", "inbox.list",
    "invitations.find", "invitations.list", "labels.list", "members.find", "members.list",
    "policies.get", "policies.list",
    "runs.get", "runs.insights", "runs.list", "runs.stats",
    "viewer.get", "workspaces.get", "workspaces.list",
    "issues.activity", "issues.attachments_list", "issues.code_links_list",
    "issues.comments_list", "issues.find_one", "issues.get", "issues.get_by_id",
    "issues.get_in_crew", "issues.list",
    "issues.relations_list", "issues.runs",
    "issues.subtasks", "milestones.list", "projects.find", "projects.get", "projects.list",
    "recurring_issues.list", "saved_views.list", "templates.get", "templates.list", "triage_rules.list",
    "terminals.check", "terminals.open",
    "agent_skills.list", "skills.find", "skills.get", "skills.list", "skills.proposed.list",
    "work_pauses.list", "workflow_templates.get", "workflow_templates.list",
    "missions.find", "missions.find_one", "missions.get", "missions.list", "missions.list_all", "missions.metrics",
    "missions.checkpoints_list", "missions.tasks_get",
    "checkpoints.get",
    "agents.get_by_slug", "attention.list", "attention.list_as_seen", "channels.rows", "crews.get_by_slug",
    "issues.count", "issues.find", "projects.get_by_slug", "runs.find", "runs.spans_as_seen",
}  # fmt: skip
"""What a ticket opens. Before a name is added: would one put it in an address?"""


def test_tickets_open_these_operations_and_no_others() -> None:
    assert {name for name, op in OPERATIONS.items() if op.tickets and not name.startswith("test")} == OPEN
    assert {name for name in OPEN if OPERATIONS[name].kind == "command"} == {
        "chats.cancel",
        "chats.send",
        "chats.steer",
        "terminals.open",
    }


@for_every([op for op in OPERATIONS.values() if op.auth is not Auth.NONE], ids=lambda op: op.name)
def test_an_operation_takes_tickets_only_if_it_says_so(op: Operation[Any]) -> None:
    for kind in TICKETS:
        if op.tickets:
            op.require(Caller(kind), None)
        else:
            with pytest.raises(Refusal) as refused:
                op.require(Caller(kind), None)
            assert refused.value.code is Code.FORBIDDEN
        if op.kind == "command":
            with pytest.raises(Refusal):
                op.require(Caller(kind, reads_only=True), None)


async def in_address(world: World, token: str, query: str) -> dict[str, Any]:
    """The answer to a document sent with nothing but the ticket in the address."""
    async with world.client(accept="text/event-stream") as client:
        answer = await client.post("/graphql/stream", params={"token": token}, json={"query": query})
    lines = [line for line in answer.text.splitlines() if line.startswith("data: {")]
    return json.loads(lines[0][6:] if lines else answer.text)  # type: ignore[no-any-return]


async def holder(world: World, by_session: bool, name: str) -> tuple[Person | Browser, str, str]:
    """Somebody, their ticket and their email."""
    if by_session:
        browser, user = await signed_in(world)
        return browser, await ticket(world, browser), user.email
    person = await world.person(name, None)
    return person, await ticket(world, person), person.email


async def end(world: World, who: Person | Browser) -> None:
    """The session signs out, or the token is revoked by itself."""
    if isinstance(who, Browser):
        assert (await who.send("POST", "/api/auth/signout")).status_code == 200
        return
    rows = (await world.rest(who, "GET", "/api/v1/auth/cli-tokens", workspace=None)).json()["data"]
    assert (
        await world.rest(who, "DELETE", f"/api/v1/auth/cli-tokens/{rows[0]['id']}", workspace=None)
    ).status_code == 200


@pytest.mark.parametrize("by_session", [False, True])
async def test_a_ticket_in_an_address_reads_and_does_nothing_else(world: World, by_session: bool) -> None:
    _, token, email = await holder(world, by_session, "addressed")
    assert (await in_address(world, token, VIEWER))["data"]["viewer"]["email"] == email
    before = await world.snapshot()
    writes = (
        'mutation { sendMessage(input: {chatId: "c1", content: "x"}) { runId } }',
        'mutation { steerChat(input: {chatId: "c1", message: "x"}) { queued } }',
    )
    for document in (*ACCOUNTS, *writes):
        answer = await in_address(world, token, document)
        if "Cannot query field" in str(answer) or "Unknown argument" in str(answer):
            raise AssertionError(answer)
        assert "token" not in str(answer.get("data")), document
        assert answer["errors"][0]["extensions"]["code"] == "FORBIDDEN", (document, answer)
    assert await world.snapshot() == before


@pytest.mark.parametrize("by_session", [False, True])
async def test_a_socket_opened_with_a_ticket_makes_no_other_credential_and_ends_with_its_own(
    world: World, by_session: bool
) -> None:
    who, token, email = await holder(world, by_session, "introduced")
    async with socket(world) as talk:
        await talk.begin(token=token)
        await talk.subscribe("who", VIEWER)
        assert (await talk.next("who"))["viewer"]["email"] == email
        await talk.hear()
        for document in ACCOUNTS:
            await talk.subscribe("x", document)
            message = await talk.hear()
            said = message["payload"][0] if message["type"] == "error" else message["payload"]["errors"][0]
            assert said["extensions"]["code"] == "FORBIDDEN", document
            if message["type"] == "next":
                await talk.hear()
        await end(world, who)
        assert (await talk.closed())[0] == 4401
    answer = await in_address(world, token, VIEWER)
    assert answer["errors"][0]["extensions"]["reason"] == ("session_revoked" if by_session else "session_invalid")


async def test_a_ticket_of_a_token_that_has_expired_is_refused(world: World) -> None:
    person = await world.person("brief", None)
    token = await ticket(world, person)
    await world.database.execute(
        "UPDATE cli_tokens SET expires_at = now() - interval '1 second' WHERE user_id = $1", person.user_id
    )
    assert (await in_address(world, token, VIEWER))["errors"][0]["extensions"]["reason"] == "session_invalid"


async def test_a_ticket_is_of_no_use_elsewhere(world: World) -> None:
    token = await ticket(world, world.owner)
    async with world.client(authorization=f"Bearer {token}") as client:
        assert (await client.get("/api/v1/auth/cli-token/validate")).status_code == 401
        assert (await client.post("/graphql", json={"query": VIEWER})).json()["errors"][0]["extensions"][
            "code"
        ] == "UNAUTHENTICATED"


@pytest.mark.parametrize(
    ("lifetime", "starts"),
    [
        (TICKET_LIFETIME + timedelta(seconds=1), 0),
        (timedelta(days=3650), 0),
        (TICKET_LIFETIME, 3600),
        (TICKET_LIFETIME, 10 * 365 * 86400),
    ],
)
async def test_who_has_the_secret_still_makes_no_ticket_that_lasts(
    world: World, lifetime: timedelta, starts: int
) -> None:
    row = await world.database.fetchval("SELECT id FROM cli_tokens WHERE user_id = $1", world.owner.user_id)
    now = instance.clock.seconds()
    good, _ = instance.signer.sign(
        TokenKind.ws, user_id=world.owner.user_id, token_id=row, lifetime=TICKET_LIFETIME, now=now
    )
    assert "data" in await in_address(world, good, VIEWER)
    forged, _ = instance.signer.sign(
        TokenKind.ws, user_id=world.owner.user_id, token_id=row, lifetime=lifetime, now=now + starts
    )
    assert (await in_address(world, forged, VIEWER))["errors"][0]["extensions"]["reason"] == "session_invalid"


async def test_a_ticket_says_no_more_than_its_token(world: World) -> None:
    """The ticket of an ADMIN token is none, and that of a token with scopes has the same ones."""
    owner = world.owner
    made = (
        await world.rest(
            owner, "POST", "/api/v1/auth/cli-token", {"tier": "ADMIN", "scopes": ["agents:read"]}, workspace=None
        )
    ).json()
    assert made["tier"] == TokenTier.ADMIN
    scoped = Person("scoped", owner.user_id, owner.email, made["token"])
    token = await ticket(world, scoped)
    assert credentials.ticket(token, client="", forwarded=False).kind is CredentialKind.TOKEN_TICKET
    assert "errors" not in await in_address(
        world, token, f'{{ agents(workspaceId: "{world.workspace.id}") {{ nodes {{ id }} }} }}'
    )
    answer = await in_address(world, token, f'{{ crews(workspaceId: "{world.workspace.id}") {{ nodes {{ id }} }} }}')
    assert (answer["errors"][0]["extensions"]["code"], answer["errors"][0]["message"]) == (
        "FORBIDDEN",
        "The token lacks the scope crews:read",
    )
    async with socket(world) as talk:
        await talk.begin(token=token)
        await talk.subscribe("live", CREWS, ws=world.workspace.id)
        said = await talk.hear()
        assert (said["type"], said["payload"][0]["message"]) == ("error", "The token lacks the scope *")


async def test_an_open_socket_of_a_session_that_is_revoked_hears_nothing_more(world: World) -> None:
    browser, _ = await signed_in(world)
    token = await ticket(world, browser)
    async with socket(world) as talk:
        await talk.begin(token=token)
        sessions = (await browser.send("GET", "/api/v1/auth/sessions")).json()
        assert (await browser.send("POST", f"/api/v1/auth/sessions/{sessions[0]['id']}/revoke")).status_code == 200
        async with asyncio.timeout(10):
            assert (await talk.closed())[0] == 4401
