"""A token with scopes in the hands of somebody else: what it opens beyond them."""

import secrets
from hashlib import sha256
from typing import Any

import pytest

from models.base import TenantRow
from models.people.auth import CliToken
from models.staff.agents import Agent
from models.staff.crews import Crew
from resolvers.errors import Code, Refusal
from resolvers.identity.caller import Caller
from resolvers.instance.crypto import CLI_PREFIXES
from resolvers.kernel.declarations.operation import Auth, Operation
from resolvers.kernel.ground.scopes import EVERYTHING, SCOPES, granted
from resolvers.kernel.reader import GRAPHS, Constant, Shape, edges_in, intern
from resolvers.kernel.reader.graph import access_of
from tests.every import each_of, for_every
from tests.generation.registry import operations
from tests.world import Person, World

pytestmark = [pytest.mark.anyio, pytest.mark.thorough]
OPERATIONS_OF_USERS = [op for op in operations() if op.auth is Auth.USER]
NAMED = Shape((Constant("__typename", "X"),))
every_operation = each_of("op", OPERATIONS_OF_USERS)


async def with_scopes(world: World, *scopes: str) -> Person:
    """The owner, with a token of these scopes."""
    token = CLI_PREFIXES["STANDARD"] + secrets.token_hex(32)  # type: ignore[index]
    await world.add(
        CliToken(
            user_id=world.owner.user_id,
            name="scoped",
            token_hash=sha256(token.encode()).hexdigest(),
            scopes=list(scopes),
        )
    )
    return Person("scoped", world.owner.user_id, world.owner.email, token)


async def refused(op: Operation[Any], caller: Caller, place: str) -> str | None:
    """Why the token's scopes do not reach; None where they do, whatever comes next."""
    shape = None if op.kind != "query" else intern(Shape(NAMED.fields, "object" if not op.form.many else "list"))  # type: ignore[attr-defined]
    fault = Refusal(Code.BAD_REQUEST, "stop here")  # behind the gate, before anything is done
    try:
        await op(caller, {}, shape, place=place, fault=fault)
    except Refusal as refusal:
        return refusal.detail if refusal.code is Code.FORBIDDEN and ("scope" in refusal.detail) else None
    return None


@every_operation
async def test_a_token_of_another_domain_opens_nothing(world: World, op: Operation[Any]) -> None:
    needs = op.needs
    others = [scope for scope in SCOPES if needs is None or not needs & granted([scope])]
    person = await with_scopes(world, *others)
    told = await refused(op, person.caller, world.workspace.id)
    if needs is None:
        assert told == "A token with scopes cannot be used for accounts, sessions and tokens"
    elif needs:
        assert told is not None
        assert told.removeprefix("The token lacks the scope ") in needs
    else:
        assert told is None


@every_operation
async def test_a_token_of_its_own_domain_reads_with_read_and_writes_with_write(
    world: World, op: Operation[Any]
) -> None:
    if not op.needs or EVERYTHING in op.needs:
        return
    reader = [scope.replace(":write", ":read").replace(":admin", ":read") for scope in op.needs]
    # what administers shows more than a token for reading should
    writes = op.kind == "command" or op.name.startswith(("admin.", "backups.", "keeper."))
    assert (await refused(op, (await with_scopes(world, *reader)).caller, world.workspace.id) is not None) is writes
    assert await refused(op, (await with_scopes(world, *op.needs)).caller, world.workspace.id) is None
    wild = [scope.partition(":")[0] + ":*" for scope in op.needs]
    assert await refused(op, (await with_scopes(world, *wild)).caller, world.workspace.id) is None


@every_operation
def test_the_scope_of_an_operation_can_be_handed_out(op: Operation[Any]) -> None:
    assert op.needs is None or op.needs <= SCOPES.keys()


OF_PERSONS = {
    "auth.account_delete",
    "auth.cli_token_create",
    "auth.cli_token_revoke",
    "auth.cli_token_rotate",
    "auth.cli_tokens_list",
    "auth.email_change",
    "auth.identities_delete",
    "auth.identities_list",
    "auth.pair_poll",
    "auth.pair_start",
    "auth.passkey_delete",
    "auth.passkey_options",
    "auth.passkey_register",
    "auth.passkey_rename",
    "auth.passkey_require",
    "auth.passkey_status",
    "auth.passkeys_list",
    "auth.sessions_list",
    "auth.sessions_revoke",
    "credentials.record_reveal",
    "credentials.reveal",
    "invitations.accept",
    "me.preferences_delete",
    "me.preferences_list",
    "me.preferences_set",
    "notifications.count",
    "notifications.delete",
    "notifications.list",
    "notifications.read",
    "notifications.read_all",
    "onboarding.complete",
    "onboarding.setup",
    "onboarding.status",
    "privacy.cards.list",
    "privacy.cards.purge",
    "privacy.consent.get",
    "privacy.consent.put",
    "privacy.user_model",
    "privacy.user_model_delete",
    "privacy.user_model_fact_delete",
    "push.delete",
    "push.list",
    "push.prepare",
    "push.register",
    "push.test",
    "push.update",
    "security_log.list",
    "service_accounts.activate",
    "service_accounts.create",
    "service_accounts.deactivate",
    "service_accounts.delete",
    "service_accounts.get",
    "service_accounts.list",
    "service_accounts.tokens.create",
    "service_accounts.tokens.list",
    "service_accounts.tokens.revoke",
    "service_accounts.tokens.rotate",
    "service_accounts.update",
    "users.avatar_delete",
    "users.avatar_upload",
    "users.change_password",
    "users.update_me",
    "viewer.mark_seen",
}
"""What no token with scopes may do."""


def test_the_operations_of_every_token_are_these() -> None:
    names = {op.name for op in OPERATIONS_OF_USERS if op.needs == frozenset()}
    assert names == {
        "auth.cli_token_validate",
        "channels.identify",
        "channels.providers",
        "features.catalog",
        "keeper.status",
        "runtime.capacity",
        "runtimes.catalog",
        "system.aux_status",
        "system.engine",
        "system.license",
        "system.runtime",
        "system.version",
        "users.avatar",
        "viewer.capabilities",
        "viewer.get",
        "viewer.operations",
        "ws.token",
    }
    assert {op.name for op in OPERATIONS_OF_USERS if op.needs is None} == OF_PERSONS


@for_every(GRAPHS, ids=lambda model: model.__name__)
def test_whatever_an_edge_leads_to_has_a_scope(model: Any) -> None:
    for name, entry in GRAPHS[model].items():
        for edge in edges_in(entry):
            assert not issubclass(edge.target, TenantRow) or access_of(edge.target).scopes, name


@each_of("scopes", [["crews:read"], ["issues:*", "agents:run"], ["workspace:admin"], ["*"], ["unknown:read"]])
async def test_a_token_is_told_what_it_opens(world: World, scopes: list[str]) -> None:
    """The owner's role opens all, so that only the scopes differ."""
    person = await with_scopes(world, *scopes)
    answer = await world.graphql(
        person, "query($ws: ID!) { viewerOperations(workspaceId: $ws) { name may requires { scope } } }"
    )
    told, compared = {entry["name"]: entry for entry in answer["data"]["viewerOperations"]}, 0
    for op in OPERATIONS_OF_USERS:
        for name in op.called:
            why = await refused(op, person.caller, world.workspace.id)
            assert told[name]["may"] is (why is None), f"{name}: {why}"
            assert told[name]["requires"]["scope"] == (" ".join(sorted(op.needs)) if op.needs else None)
            compared += 1
    assert compared > 300


async def test_scopes_never_widen(world: World) -> None:
    person = await world.person("peeper", None)
    await world.database.execute("UPDATE cli_tokens SET scopes = '[\"*\"]' WHERE user_id = $1", person.user_id)
    assert (await world.rest(person, "GET", "/api/v1/crews")).status_code == 403
    viewer = await with_scopes(world, "crews:*")
    await world.database.execute(
        "UPDATE cli_tokens SET user_id = $1 WHERE token_hash = $2", world.viewer.user_id, viewer.caller.credential
    )
    assert (await world.rest(viewer, "GET", "/api/v1/crews")).status_code == 200
    assert (await world.rest(viewer, "POST", "/api/v1/crews", {"name": "New", "slug": "new"})).status_code == 403


@pytest.mark.parametrize("scopes", [["agents:read"], ["*"]])
async def test_no_token_with_scopes_makes_a_token_or_touches_an_account(world: World, scopes: list[str]) -> None:
    person, before = await with_scopes(world, *scopes), await world.snapshot()
    for method, path, body in (
        ("POST", "/api/v1/auth/cli-token", {"tier": "ADMIN", "scopes": ["*"]}),
        ("POST", "/api/v1/auth/cli-token", {}),
        ("GET", "/api/v1/auth/cli-tokens", None),
        ("DELETE", "/api/v1/auth/cli-tokens/c0", None),
        ("GET", "/api/v1/auth/sessions", None),
        ("POST", "/api/v1/auth/sessions/s_0/revoke", None),
    ):
        answer = await world.rest(person, method, path, body, workspace=None)
        assert (answer.status_code, answer.json()["error"]) == (
            403,
            "A token with scopes cannot be used for accounts, sessions and tokens",
        )
    assert await world.snapshot() == before


async def test_rest_answers_whole_what_a_scope_opens(world: World) -> None:
    """A documented answer belongs to its operation, with what it shows of other rows."""
    crew = Crew(workspace_id=world.workspace.id, name="Engine", slug="engine")
    await world.add(crew, Agent(workspace_id=world.workspace.id, crew_id=crew.id, name="Ada", slug="ada"))
    person = await with_scopes(world, "agents:read")
    answer = await world.rest(person, "GET", f"/api/v1/agents?crew_id={crew.id}")
    assert answer.json()[0]["crew"]["name"] == "Engine"
    assert (await world.rest(person, "GET", f"/api/v1/crews/{crew.id}")).json()[
        "error"
    ] == "The token lacks the scope crews:read"


@each_of(
    ("scopes", "selection", "lacks"),
    [
        (["agents:read"], "agents(workspaceId: $ws) { nodes { id } }", None),
        (["agents:read"], "agents(workspaceId: $ws) { nodes { crew { name } } }", "crews:read"),
        (["agents:read"], "agents(workspaceId: $ws) { nodes { crew { servicesJson } } }", "crews:read"),
        (
            ["agents:read", "crews:read"],
            "agents(workspaceId: $ws) { nodes { crew { agents { nodes { id } } } } }",
            None,
        ),
        (
            ["agents:read", "crews:read"],
            "agents(workspaceId: $ws) { nodes { crew { members { user { email } } } } }",
            None,
        ),
        (["crews:read"], "crews(workspaceId: $ws) { nodes { agentCount } }", None),
        (["crews:read"], "viewer { email }", None),
        (["crews:read"], "viewer { workspaces { name } }", "workspace:read"),
        (["crews:read"], "viewer { workspaces { crews { nodes { name } } } }", "workspace:read"),
        (["workspace:read"], "workspace(id: $ws) { labels { name } }", "labels:read"),
        (["workspace:*"], "workspace(id: $ws) { members { user { email } } }", None),
        (["issues:read"], "issues(workspaceId: $ws) { nodes { assignee { ... on User { email } } } }", None),
        (["issues:read"], "issues(workspaceId: $ws) { nodes { assignee { ... on Agent { name } } } }", "agents:read"),
        (["issues:read"], "issues(workspaceId: $ws) { nodes { assignee { __typename } } }", "agents:read"),
        (["issues:read", "agents:read"], "issues(workspaceId: $ws) { nodes { assignee { __typename } } }", None),
    ],
)
async def test_an_edge_needs_the_scope_of_what_it_leads_to(
    world: World, scopes: list[str], selection: str, lacks: str | None
) -> None:
    person = await with_scopes(world, *scopes)
    answer = await world.graphql(person, f"query{'($ws: ID!)' if '$ws' in selection else ''} {{ {selection} }}")
    if lacks is None:
        assert "errors" not in answer, answer
    else:
        assert (answer["data"] or {}).get(selection.split("(")[0].split(" ")[0]) is None
        assert [e["message"] for e in answer["errors"]] == [f"The token lacks the scope {lacks}"]
        assert answer["errors"][0]["extensions"] == {
            "code": "FORBIDDEN",
            "requires": {"role": None, "capability": None, "scope": lacks},
        }


async def test_the_answer_of_a_write_is_no_way_to_another_domain(world: World) -> None:
    person, before = await with_scopes(world, "crews:write"), await world.snapshot()
    document = (
        "mutation($ws: ID!) {"
        ' createCrew(workspaceId: $ws, input: {name: "New", slug: "new-one"}) { id agents { nodes { name } } } }'
    )
    answer = await world.graphql(person, document)
    assert [e["message"] for e in answer["errors"]] == ["The token lacks the scope agents:read"]
    assert await world.snapshot() == before
    assert "errors" not in await world.graphql(person, document.replace(" agents { nodes { name } }", ""))


async def test_scopes_are_shown_in_lists(world: World) -> None:
    person = await world.person("lister", None)
    await world.database.execute(
        "UPDATE cli_tokens SET scopes = '[\"runs:read\"]' WHERE user_id = $1", world.member.user_id
    )
    assert (await world.graphql(person, "{ cliTokens { scopes } }"))["data"]["cliTokens"] == [{"scopes": []}]
    rows = (await world.rest(person, "GET", "/api/v1/auth/cli-tokens", workspace=None)).json()["data"]
    assert "scopes" not in rows[0]
