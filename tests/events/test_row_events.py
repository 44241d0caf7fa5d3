"""Events of changed rows: every command that writes to the log sends one, to those who may read the row."""

import asyncio
import contextlib
from datetime import datetime, timedelta
from typing import Any

import pytest

from models.base import new_id
from models.kernel import AuditLog
from models.people.workspaces import Role
from models.resources.credentials import Credential, CredentialScope
from resolvers.kernel.declarations.operation import OPERATIONS, Operation
from resolvers.kernel.declarations.row_events import HEARD, PART, RowEvent, hears, of_action, of_user, parts_of
from resolvers.kernel.ground.policy import GATES, Action
from resolvers.kernel.reader.graph import ACCESS, EVERYONE
from resolvers.live import hub
from tests.every import each_of, for_every
from tests.generation.registry import operations
from tests.generation.surfaces import Outcome
from tests.live.graphql import Talk, crews_made, own, talking
from tests.live.outlets import until
from tests.live.sockets import client_of
from tests.world import Person, World, now

pytestmark = pytest.mark.anyio
_ACCOUNT = "a log of the account, and of no workspace"
_OF_PERSON = "of a person's data, which no list shows to members"
_OWN = "of rows that their owner alone reads"
_OF_INSTANCE = "a setting or a resource of the instance"
_FILE = "backups are files: a list of them reads the disk"
SILENT = {
    "admin.gdpr_archive": _OF_PERSON,
    "admin.gdpr_delete": _OF_PERSON,
    "admin.gdpr_erase": _OF_PERSON,
    "admin.gdpr_export": _OF_PERSON,
    "admin.log_level_set": _OF_INSTANCE,
    "admin.memory_config_patch": "a setting without a row in any list",
    "admin.reencrypt": _OF_INSTANCE,
    "admin.retention_set": "a setting without a row in any list",
    "approvals.reset_auto_tuning": "decisions that are remembered are in no list",
    "auth.account_delete": _ACCOUNT,
    "users.update_me": _ACCOUNT,
    "users.avatar_delete": _ACCOUNT,
    "users.avatar_upload": _ACCOUNT,
    "auth.bootstrap": _ACCOUNT,
    "auth.cli_token_create": _ACCOUNT,
    "auth.cli_token_revoke": _ACCOUNT,
    "auth.cli_token_rotate": _ACCOUNT,
    "auth.email_change": _ACCOUNT,
    "auth.email_confirm": _ACCOUNT,
    "auth.google_callback": _ACCOUNT,
    "auth.identities_delete": _ACCOUNT,
    "auth.login": _ACCOUNT,
    "auth.oidc_callback": _ACCOUNT,
    "auth.pair_redeem": _ACCOUNT,
    "auth.pair_start": _ACCOUNT,
    "auth.passkey_delete": _ACCOUNT,
    "auth.passkey_register": _ACCOUNT,
    "auth.passkey_rename": _ACCOUNT,
    "auth.passkey_require": _ACCOUNT,
    "auth.passkey_sign_in": _ACCOUNT,
    "users.change_password": _ACCOUNT,
    "auth.reset": _ACCOUNT,
    "auth.sessions_revoke": _ACCOUNT,
    "auth.signout": _ACCOUNT,
    "auth.signup": _ACCOUNT,
    **dict.fromkeys(
        [f"backups.{verb}" for verb in ("create", "delete", "download", "restore", "rotate", "self_test", "unlock")],
        _FILE,
    ),
    "cache.images.delete": _OF_INSTANCE,
    "consolidate.run": "a job that writes files",
    "decision_links.decide": "the operation that decides sends its own",
    "journal.set_priority": "the journal is followed as a list",
    "mcp_registry.sync": _OF_INSTANCE,
    "memory.import": "memories are files",
    "memory.version_restore": "memories are files",
    "onboarding.complete": _ACCOUNT,
    "push.delete": _OWN,
    "push.register": _OWN,
    "push.update": _OWN,
    "signals.send": "the runs that wait for the signal send their own",
    "terminals.close": "terminals are in no list",
    "terminals.open": "terminals are in no list",
}
"""Commands that are logged and send no event, with the reason."""
AUDITED = [op for op in operations() if op.kind == "command" and op.audit is not None]
ROWS = """
    subscription Rows($ws: ID, $after: String) {
      workspaceEvents(workspaceId: $ws, after: $after) {
        __typename ... on Event { cursor }
        ... on LabelCreatedEvent { id } ... on SavedViewCreatedEvent { id } ... on SavedViewUpdatedEvent { id }
        ... on SavedViewDeletedEvent { id } ... on WebhookEndpointCreatedEvent { id }
        ... on CredentialCreatedEvent { id } }
    }
"""


@for_every(AUDITED, ids=lambda op: op.name)
def test_a_command_that_is_logged_sends_an_event_or_stands_with_the_reason(op: Operation[Any]) -> None:
    assert bool(op.emits) is (op.name not in SILENT), "declare `emits=` or a graph of the row, or say why not"


def test_reasons_are_of_commands_that_are_there() -> None:
    assert SILENT.keys() <= {op.name for op in AUDITED}


def is_announced(op: Operation[Any], outcome: Outcome) -> None:
    """Of what came of a command's valid input."""
    added = [change for change in outcome.changes if change.new is not None and change.old is None]
    logged = [change for change in added if change.table == AuditLog.__tablename__]
    events = [change.new for change in added if change.table == "events"]
    if logged and op.name not in SILENT:
        assert [event for event in events if event and not event["type"].startswith("access.")], "no event tells of it"
    if op.announces is not None:
        sent = [event for event in events if event and event["type"] == op.announces.type_]
        about = {change.new["entity_id"] for change in logged if change.new}
        assert {event["payload"]["id"] for event in sent} <= about
        assert all(set(event["payload"]) == {"id"} and PART in event["channel"] for event in sent)


def test_rows_that_some_do_not_see_declare_who_hears() -> None:
    announced = {op.announces.of_ for op in OPERATIONS.values() if op.announces is not None}
    assert announced >= HEARD.keys()
    assert [model for model in announced if ACCESS[model].visible is not EVERYONE and model not in HEARD] == []


@each_of("action", [action for action in Action if action not in (Action.NONE, Action.SELF)])
def test_a_part_hears_if_it_passes_the_gate(action: Action) -> None:
    part = of_action(action)
    assert frozenset(role for role in Role if hears(part, role, "u")) == GATES[action]
    assert all((part in parts_of(role, "u")) is (role in GATES[action]) for role in Role)
    assert not hears(part, None, "u")


def test_a_part_of_one_user_is_nobody_elses_and_an_unknown_part_nobodys() -> None:
    assert hears(of_user("u"), Role.VIEWER, "u")
    assert not hears(of_user("u"), Role.OWNER, "v")
    assert not any(hears(part, Role.OWNER, "u") for part in ("", "everyone", "update", "user", "user:"))


def test_derived_events_are_no_part_of_the_contracts_channel() -> None:
    derived = {event for op in OPERATIONS.values() for event in op.emits if issubclass(event, RowEvent)}
    assert len(derived) > 60
    assert all(PART in event.channel_ and list(event.payload_keys()) == ["id"] for event in derived)


async def made(world: World, path: str, **body: Any) -> str:
    answer = await world.rest(world.admin, "POST", f"/api/v1/{path}", body)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


async def written(world: World) -> tuple[str, str, str, str]:
    """Ids of a private row, a shared one, one for administrators, and one that ends what is listened to."""
    view = {"filters_json": "{}", "view_type": "list"}
    return (
        await made(world, "saved-views", name="mine", shared=False, **view),
        await made(world, "saved-views", name="ours", shared=True, **view),
        await made(world, "webhook-endpoints", name="h", url="https://example.com/h", event_types=["run.completed"]),
        await made(world, "labels", name=f"last {new_id()}", color="#000000"),
    )


async def heard(talk: Talk, last: str) -> list[str]:
    """Ids of the rows whose events come, in order, up to the last."""
    ids = [""]
    async with asyncio.timeout(30):
        while ids[-1] != last:
            shown = (await talk.next("s"))["workspaceEvents"]
            ids += [shown["id"]] if "id" in shown else []
    return ids[1:]


@pytest.mark.parametrize("late", [False, True], ids=["live", "resumed"])
async def test_who_may_read_a_row_hears_of_it_and_nobody_else(world: World, late: bool) -> None:
    people = (world.owner, world.admin, world.manager, world.viewer)
    async with contextlib.AsyncExitStack() as stack:
        talks = [await stack.enter_async_context(talking(world, person)) for person in people]
        cursors = []
        for talk in talks:
            await talk.listen("s", ROWS, ws=world.workspace.id, after="-")
            cursors.append((await talk.next("s"))["workspaceEvents"]["cursor"])
        if late:
            for talk in talks:
                before = hub.listeners()
                await talk.say({"type": "complete", "id": "s"})
                await until(lambda: hub.listeners() < before)  # noqa: B023 (asked at once)
        mine, shared, hook, last = await written(world)
        for talk, cursor in zip(talks, cursors, strict=True) if late else ():
            await talk.listen("s", ROWS, ws=world.workspace.id, after=cursor)
        found = [await heard(talk, last) for talk in talks]
    assert found == [[shared, hook, last], [mine, shared, hook, last], [shared, last], [shared, last]]


async def test_a_role_that_changes_changes_what_is_heard(world: World) -> None:
    """No event of a row comes after the right to read it has ended."""
    async with talking(world, world.manager) as talk:
        await talk.listen("s", ROWS, ws=world.workspace.id)
        role = "UPDATE memberships SET role = $1 WHERE user_id = $2 AND workspace_id = $3"
        about = world.manager.user_id, world.workspace.id
        await world.database.execute(role, Role.ADMIN, *about)
        try:
            _, shared, hook, last = await written(world)
            assert await heard(talk, last) == [shared, hook, last]
        finally:
            await world.database.execute(role, Role.MANAGER, *about)
        _, shared, hook, last = await written(world)
        assert await heard(talk, last) == [shared, last]


async def test_sockets_of_the_contract_receive_none(world: World) -> None:
    async with client_of(world, world.owner) as client:
        await client.subscribe(own(world))
        await client.settle()
        await written(world)
        await crews_made(world, "after")
        await client.hears("crew.created")
    assert {frame["type"] for frame in client.on(own(world))} == {"crew.created"}


async def test_of_a_credential_of_crews_only_managers_hear() -> None:
    for scope in CredentialScope:
        everyone = scope is CredentialScope.WORKSPACE
        credential = Credential(scope=scope.value)
        assert HEARD[Credential](credential, frozenset()) == of_action(Action.READ if everyone else Action.UPDATE)
        assert HEARD[Credential](credential, frozenset({"scope"})) == of_action(Action.READ)


CAUSES = """
    subscription Causes($ws: ID, $types: [WorkspaceEventType!]) {
      workspaceEvents(workspaceId: $ws, types: $types) {
        __typename ... on ChangeEvent { at actorType actorId mutationId } ... on LabelCreatedEvent { id } }
    }
"""
MAKE = 'mutation($n: String!) { createLabel(input: {name: $n, color: "#000000"}) { id } }'


async def labelled(world: World, person: Person, **headers: str) -> Any:
    headers |= {"x-workspace-id": world.workspace.id}
    async with world.client(person) as client:
        body = {"query": MAKE, "variables": {"n": new_id()}}
        return await client.post("/graphql", json=body, headers=headers)


async def test_an_event_says_who_caused_it_and_by_which_mutation(world: World) -> None:
    async with talking(world, world.viewer) as talk:
        await talk.listen("s", CAUSES, ws=world.workspace.id)
        for named in ("tab-1/7", None):
            headers = {} if named is None else {"x-client-mutation-id": named}
            answer = await labelled(world, world.manager, **headers)
            shown = (await talk.next("s"))["workspaceEvents"]
            at = datetime.fromisoformat(shown.pop("at"))
            assert abs(now() - at) < timedelta(minutes=5)
            assert shown == {
                "__typename": "LabelCreatedEvent", "id": answer.json()["data"]["createLabel"]["id"],
                "actorType": "user", "actorId": world.manager.user_id, "mutationId": named,
            }  # fmt: skip


@each_of("named", ["", "x" * 65, "tab\t1", "tab-é"])
async def test_a_name_of_a_mutation_that_events_cannot_repeat_is_refused(world: World, named: str) -> None:
    before = await world.snapshot()
    answer = await labelled(world, world.manager, **{"x-client-mutation-id": named.encode("latin-1")})  # type: ignore[arg-type]
    assert (answer.status_code, answer.json()["errors"][0]["extensions"]["code"]) == (400, "BAD_REQUEST")
    assert await world.snapshot() == before


def labelling(id: str, named: object) -> dict[str, Any]:
    """As `labelled`, for a socket."""
    payload = {
        "query": MAKE.replace("$n: String!", "$n: String!, $ws: ID").replace("(input", "(workspaceId: $ws, input")
    }
    return {"id": id, "type": "subscribe", "payload": payload | {"extensions": {"clientMutationId": named}}}


async def test_a_mutation_of_a_socket_has_a_name_of_its_own(world: World) -> None:
    """Each operation names itself: two of one socket are told apart."""
    async with talking(world, world.viewer) as heard, talking(world, world.manager) as talk:
        await heard.listen("s", CAUSES, ws=world.workspace.id)
        for number, named in enumerate(("tab-1/8", "tab-1/9", None)):
            message = labelling(str(number), named)
            message["payload"]["variables"] = {"n": new_id(), "ws": world.workspace.id}
            await talk.say(message)
            assert (await heard.next("s"))["workspaceEvents"]["mutationId"] == named


@each_of("named", ["", "x" * 65, "tab\t1", "tab-é", 7, {}])
async def test_a_socket_s_name_that_events_cannot_repeat_is_refused(world: World, named: object) -> None:
    before = await world.snapshot()
    async with talking(world, world.manager) as talk:
        message = labelling("m", named)
        message["payload"]["variables"] = {"n": new_id(), "ws": world.workspace.id}
        await talk.say(message)
        said = await talk.hear()
    assert (said["type"], said["payload"][0]["extensions"]["code"]) == ("error", "BAD_REQUEST")
    assert "clientMutationId" in said["payload"][0]["message"]
    assert await world.snapshot() == before


async def test_a_listener_chooses_types_of_events(world: World) -> None:
    async with talking(world, world.viewer) as talk:
        await talk.listen("s", CAUSES, ws=world.workspace.id, types=["LabelCreatedEvent"])
        await talk.listen("t", CAUSES, ws=world.workspace.id, types=["CrewCreatedEvent", "ProjectCreatedEvent"])
        for _ in range(2):
            await labelled(world, world.manager)
        await crews_made(world, "one")
        seen = [await talk.hear() for _ in range(3)]
        said = [(each["id"], each["payload"]["data"]["workspaceEvents"]["__typename"]) for each in seen]
        assert sorted(said) == [("s", "LabelCreatedEvent"), ("s", "LabelCreatedEvent"), ("t", "CrewCreatedEvent")]
        assert await talk.silent()
        await talk.subscribe("u", CAUSES, ws=world.workspace.id, types=["NothingEvent"])
        assert (await talk.hear())["type"] == "error"
