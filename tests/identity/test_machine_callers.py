"""Operations for machines: who may call from where, in which workspace they act; no user's credential counts."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from crewship.process.postgres import APPLICATION
from models import migrations
from models.work.labels import Label
from resolvers.errors import Code, Refusal
from resolvers.identity import credentials, machine_tokens, webhook_senders
from resolvers.identity.caller import Caller, CredentialKind
from resolvers.instance.running import instance
from resolvers.kernel.admission.gate import Entity
from resolvers.kernel.declarations.operation import OPERATIONS, REST_ONLY, Auth, Surface
from resolvers.kernel.declarations.outputs import Output, Success
from resolvers.kernel.ground.inputs import ById, Input, NoInput, Text
from resolvers.kernel.ground.policy import Action
from resolvers.kernel.writing.command import command, procedure
from resolvers.kernel.writing.context import Context
from rest_compat.http.table import GET, POST
from tests.every import each_of
from tests.world import Person, World, world_on

pytestmark = pytest.mark.anyio
SECRET = "the agent's secret"


class Note(Input):
    name: Text


class Where(Output):
    workspace: str | None
    labels: list[str]


async def verified(ctx: Context) -> None:
    assert ctx.caller.webhook is not None
    ctx.caller.webhook.verify(ctx.caller.body, secret=SECRET, require_timestamp=False, now=instance.clock.seconds())


@pytest.fixture(scope="module", params=[True, False], ids=["row security", "door alone"])
def secure(request: Any) -> bool:
    """Whether row-level security stands behind the kernel's own conditions."""
    return bool(request.param)


@pytest.fixture(scope="module")
def routes(secure: bool) -> Iterator[tuple[Any, ...]]:
    known = set(OPERATIONS)

    @command("test.internal_note", Action.NONE, auth=Auth.INTERNAL, surfaces=REST_ONLY, audit="test.noted")
    async def note(ctx: Context, data: Note) -> Success:
        """Writes as the machine."""
        label = await ctx.insert(Label(name=data.name, color="c"), conflict="taken")
        ctx.audit("LABEL", label.id)
        return Success()

    @procedure("test.internal_where", Action.NONE, auth=Auth.INTERNAL, surfaces=REST_ONLY)
    async def where(ctx: Context, data: NoInput) -> Where:
        """The workspace the machine is in, and what it sees there."""
        return Where(workspace=ctx.workspace_id, labels=[label.name for label in await ctx.select(Label).all()])

    @procedure("test.internal_of", Action.NONE, auth=Auth.INTERNAL, surfaces=REST_ONLY, tenancy=Entity(Label, "id"))
    async def of(ctx: Context, data: ById) -> Where:
        """The workspace of a label."""
        return Where(workspace=ctx.workspace_id, labels=[(await ctx.get(Label, data.id)).name])

    @command(
        "test.hooked", Action.NONE, auth=Auth.WEBHOOK, surfaces=REST_ONLY, tenancy=Entity(Label, "id"), allow=verified
    )
    async def hooked(ctx: Context, data: ById) -> Where:
        """Writes where the label is."""
        await ctx.insert(Label(name="hooked", color="c"), conflict="taken")
        return Where(workspace=ctx.workspace_id, labels=[])

    yield (
        POST("/api/v1/internal/notes", note, Success, status=201),
        GET("/api/v1/internal/where", where, Where),
        GET("/api/v1/internal/labels/{labelId}", of, Where),
        POST("/api/v1/webhooks/{labelId}/trigger", hooked, Where, status=202),
    )
    for name in set(OPERATIONS) - known:
        del OPERATIONS[name]


@pytest.fixture(scope="module")
async def world(
    secure: bool, module_database: Any, tmp_path_factory: pytest.TempPathFactory, routes: Any, anyio_backend: str
) -> AsyncIterator[World]:
    await migrations.upgrade(module_database.owner_url, application_role=APPLICATION, row_level_security=secure)
    async with world_on(
        module_database, tmp_path_factory.mktemp("data"), routes=routes, row_level_security=secure
    ) as made:
        yield made
        await made.database.execute("TRUNCATE workspaces, users CASCADE")


@pytest.fixture
async def labels(world: World) -> AsyncIterator[dict[str, Label]]:
    """One label in each of the two workspaces."""
    made = {w.slug: Label(workspace_id=w.id, name=f"of {w.slug}", color="c") for w in (world.workspace, world.other)}
    await world.add(*made.values())
    yield made
    await world.database.execute("DELETE FROM labels")


def master(world: World) -> str:
    assert world.settings.internal_token is not None
    return world.settings.internal_token.get_secret_value()


def bound(world: World) -> str:
    return machine_tokens.issue_workspace_token(master(world), world.workspace.id)


async def where(world: World, token: str | None, workspace: str | None = None, **headers: str) -> tuple[int, Any]:
    given = headers if token is None else headers | {"x-internal-token": token}
    answer = await world.rest(None, "GET", "/api/v1/internal/where", workspace=workspace, **given)
    return answer.status_code, answer.json()


async def test_the_master_token_names_its_workspace(world: World, labels: dict[str, Label]) -> None:
    assert await where(world, master(world), world.other.slug) == (
        200,
        {"workspace": world.other.id, "labels": ["of other"]},
    )
    assert await where(world, master(world), world.workspace.id) == (
        200,
        {"workspace": world.workspace.id, "labels": ["of workspace"]},
    )
    status, body = await where(world, master(world))
    assert (status, body["error"]) == (400, "workspace_id is required")
    status, body = await where(world, master(world), "cnobodyhasthisworkspace")
    assert (status, body["error"]) == (404, "Workspace not found"), "a program is a member of nothing"


async def test_a_bound_token_is_good_for_one_workspace(world: World, labels: dict[str, Label]) -> None:
    expected = (200, {"workspace": world.workspace.id, "labels": ["of workspace"]})
    assert await where(world, bound(world)) == expected
    assert await where(world, bound(world), world.workspace.id) == expected
    for foreign in (world.other.id, world.other.slug):
        assert (await where(world, bound(world), foreign))[0] == 403
    assert (await where(world, bound(world), None, **{"x-workspace-id": world.other.id}))[0] == 403


async def test_an_entity_is_found_where_the_token_is_good(world: World, labels: dict[str, Label]) -> None:
    async def of(token: str, slug: str, workspace: str | None = None) -> int:
        answer = await world.rest(
            None,
            "GET",
            f"/api/v1/internal/labels/{labels[slug].id}",
            workspace=workspace,
            **{"x-internal-token": token},
        )
        assert answer.status_code != 200 or answer.json()["labels"] == [f"of {slug}"]
        return answer.status_code

    assert [await of(master(world), slug) for slug in ("workspace", "other")] == [200, 200]
    assert [await of(bound(world), slug) for slug in ("workspace", "other")] == [200, 404]
    assert [await of(master(world), slug, world.other.id) for slug in ("workspace", "other")] == [404, 200]


async def test_a_write_is_audited_and_has_no_user(world: World) -> None:
    answer = await world.rest(
        None, "POST", "/api/v1/internal/notes", {"name": "noted"}, workspace=None, **{"x-internal-token": bound(world)}
    )
    assert (answer.status_code, answer.json()) == (201, {"success": True})
    row = (await world.audit())[-1]
    assert (row["action"], row["workspace_id"], row["user_id"]) == ("test.noted", world.workspace.id, None)
    assert await world.database.fetchval("SELECT workspace_id FROM labels WHERE name = 'noted'") == world.workspace.id


@each_of("token", [None, "", "wrong", "wsv1.", "wsv1.cworkspace." + "0" * 64])
async def test_a_wrong_token_is_forbidden(world: World, token: str | None) -> None:
    before = await world.snapshot()
    assert (await where(world, token, world.workspace.id))[0] == 403
    given = {} if token is None else {"x-internal-token": token}
    assert (await world.rest(None, "POST", "/api/v1/internal/notes", {"name": "n"}, **given)).status_code == 403
    assert await world.snapshot() == before


@each_of("name", ["x-forwarded-for", "forwarded", "via", "x-real-ip"])
async def test_behind_a_proxy_there_is_nothing(world: World, name: str) -> None:
    for token in (master(world), bound(world), "wrong"):
        assert (await where(world, token, world.workspace.id, **{name: "127.0.0.1"}))[0] == 404


async def test_no_credential_of_a_user_counts(world: World) -> None:
    for person in (world.owner, world.admin):
        assert (await world.rest(person, "GET", "/api/v1/internal/where")).status_code == 403
        assert (
            await world.rest(person, "GET", "/api/v1/internal/where", **{"x-internal-token": master(world)})
        ).status_code == 200
        with pytest.raises(Refusal) as refused:
            await OPERATIONS["test.internal_where"](_at(person, world), {})
        assert refused.value.code is Code.FORBIDDEN


async def test_an_internal_token_is_no_user(world: World) -> None:
    answer = await world.rest(
        None, "GET", "/api/v1/labels", **{"x-internal-token": master(world), "authorization": f"Bearer {master(world)}"}
    )
    assert (answer.status_code, answer.json()["error"]) == (401, "session_invalid")
    caller = credentials.internal(
        {b"x-internal-token": master(world).encode()}, client="127.0.0.1", forwarded=False, local_socket=False
    )
    caller.workspace = world.workspace.id
    before = await world.snapshot()
    with pytest.raises(Refusal) as refused:
        await OPERATIONS["labels.create"](caller, {"name": "x", "color": "y"})
    assert refused.value.code is Code.UNAUTHENTICATED
    assert await world.snapshot() == before


async def test_who_is_bound_to_nothing_is_no_master(world: World) -> None:
    for place in (None, world.workspace.id):
        for name in ("test.internal_where", "internal.credentials.list"):
            caller = Caller(CredentialKind.INTERNAL, "internal", workspace=place)
            with pytest.raises(Refusal) as refused:
                await OPERATIONS[name](caller, {})
            assert refused.value.code is Code.FORBIDDEN, (name, place)


@each_of(
    ("client", "local_socket", "of_master", "of_bound"),
    [
        ("127.0.0.1", True, None, None),
        ("::1", False, None, None),
        ("10.1.2.3", False, Code.FORBIDDEN, None),
        ("203.0.113.9", False, Code.NOT_FOUND, Code.NOT_FOUND),
    ],
)
async def test_the_distance_decides(
    world: World, client: str, local_socket: bool, of_master: Code | None, of_bound: Code | None
) -> None:
    async def outcome(token: str) -> Code | None:
        caller = credentials.internal(
            {b"x-internal-token": token.encode()}, client=client, forwarded=False, local_socket=local_socket
        )
        caller.workspace = world.workspace.id
        try:
            await OPERATIONS["test.internal_where"](caller, {})
        except Refusal as refusal:
            return refusal.code
        return None

    assert [await outcome(master(world)), await outcome(bound(world))] == [of_master, of_bound]


async def test_part_of_the_server_may_call_too(world: World, labels: dict[str, Label]) -> None:
    answer = await OPERATIONS["test.internal_of"](
        Caller.service("runtime", world.workspace.id), {"id": labels["workspace"].id}
    )
    assert answer.body is not None
    with pytest.raises(Refusal) as refused:
        await OPERATIONS["test.internal_of"](Caller.service("runtime", world.workspace.id), {"id": labels["other"].id})
    assert refused.value.code is Code.NOT_FOUND


async def hook(world: World, label: str, **headers: str) -> tuple[int, Any]:
    answer = await world.rest(
        None, "POST", f"/api/v1/webhooks/{label}/trigger", {"event": "e"}, workspace=None, **headers
    )
    return answer.status_code, answer


async def test_a_webhook_acts_where_its_entity_is(world: World, labels: dict[str, Label]) -> None:
    signature = webhook_senders.webhook_signature(b'{"event":"e"}', SECRET)
    for slug, headers in (("other", {"x-signature": signature}), ("workspace", {"x-webhook-secret": SECRET})):
        status, answer = await hook(world, labels[slug].id, **headers)
        assert (status, answer.json()["workspace"]) == (202, labels[slug].workspace_id)
    made = await world.database.fetch("SELECT workspace_id FROM labels WHERE name = 'hooked'")
    assert {row[0] for row in made} == {world.workspace.id, world.other.id}


async def test_a_webhook_that_proves_nothing_writes_nothing(world: World, labels: dict[str, Label]) -> None:
    before, id = await world.snapshot(), labels["workspace"].id
    others = {"authorization": f"Bearer {world.owner.token}"}, {"x-internal-token": master(world)}
    for headers in ({}, {"x-signature": "0" * 64}, {"x-webhook-secret": "wrong"}, *others):
        status, answer = await hook(world, id, **headers)
        assert (status, answer.headers["www-authenticate"]) == (401, "Bearer")
    assert (await hook(world, "cthereisnosuchlabelhere", **{"x-webhook-secret": "wrong"}))[0] == 404
    assert await world.snapshot() == before


async def test_deliveries_at_once_stay_apart(world: World, labels: dict[str, Label]) -> None:
    """Connections are shared, and what a machine may see is set on them: no call sees what another one may."""
    found = await asyncio.gather(
        *[where(world, bound(world)) if n % 2 else where(world, master(world), world.other.id) for n in range(20)]
    )
    assert [body["labels"] for _, body in found] == [["of workspace"] if n % 2 else ["of other"] for n in range(20)]


def test_what_machines_call_is_declared_for_rest_and_verified() -> None:
    async def run(ctx: Context, data: NoInput) -> Success:
        return Success()

    with pytest.raises(TypeError, match="no part of the graph"):
        command("test.on_both", Action.NONE, auth=Auth.INTERNAL, surfaces=frozenset(Surface))(run)
    with pytest.raises(TypeError, match="declare a guard"):
        command("test.unverified", Action.NONE, auth=Auth.WEBHOOK, surfaces=REST_ONLY)(run)
    assert not {"test.on_both", "test.unverified"} & OPERATIONS.keys()


def _at(person: Person, world: World) -> Caller:
    made = person.caller
    assert made.kind is CredentialKind.TOKEN
    made.workspace = world.workspace.id
    return made
