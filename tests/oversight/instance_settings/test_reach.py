"""What is of the whole server is changed by its operator, and by nobody else who is OWNER somewhere."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from models.base import Row
from models.kernel import InstanceFact
from models.oversight.feature_flags import FeatureFlag
from resolvers.errors import Refusal
from resolvers.identity.credentials import bearer
from resolvers.instance.running import BOOTSTRAPPED, instance
from resolvers.kernel import Reach
from resolvers.kernel.admission.operators import of_instance
from resolvers.kernel.declarations.operation import OPERATIONS
from resolvers.oversight.admin.erasure import below
from resolvers.oversight.feature_flags.flags import create_feature_flag
from resolvers.resources.mcp_registry import syncing
from rest_compat.http.routes import operations
from tests.world import Person, World, world_on

pytestmark = pytest.mark.anyio
OF_INSTANCE = {
    "admin.log_level_set": ("PUT", "/api/v1/admin/log-level", {"level": "error"}),
    "admin.rate_limit_set": ("PUT", "/api/v1/admin/rate-limits/webhook.agent_per_min", {"value": 30}),
    "admin.rate_limit_reset": ("DELETE", "/api/v1/admin/rate-limits/webhook.agent_per_min", None),
    "admin.reencrypt": ("POST", "/api/v1/admin/reencrypt", None),
    "feature_flags.create": ("POST", "/api/v1/feature-flags", {"key": "new"}),
    "feature_flags.update": ("PATCH", "/api/v1/feature-flags/f1", {"enabled": True}),
    "feature_flags.delete": ("DELETE", "/api/v1/feature-flags/f1", None),
    "instance_settings.put": ("PUT", "/api/v1/instance/settings/smtp.host", {"value": "mail.example.com"}),
    "instance_settings.delete": ("DELETE", "/api/v1/instance/settings/smtp.host", None),
    "mcp_registry.sync": ("POST", "/api/v1/mcp-registry/sync", {}),
}
"""In an order in which each works."""


@pytest.fixture(scope="module")
async def ruled(
    module_database: Any, tmp_path_factory: pytest.TempPathFactory, anyio_backend: str
) -> AsyncIterator[World]:
    async with world_on(module_database, tmp_path_factory.mktemp("data"), instance_admins=False) as made:
        await made.add(InstanceFact(name=BOOTSTRAPPED, value=made.owner.user_id), FeatureFlag(key="f1"))
        yield made


async def call(world: World, person: Person, name: str, workspace: str = "") -> int:
    method, path, body = OF_INSTANCE[name]
    return (await world.rest(person, method, path, body, workspace=workspace)).status_code


def test_which_tables_are_the_instances() -> None:
    """A new one is looked at: is it the whole server's, or does nothing in it say whose it is?"""
    models = {model.__name__ for model in below(Row) if hasattr(model, "__table__") and of_instance(model)}
    known = "AdminTokenUse FeatureFlag InstanceFact InstanceSetting KeptDays McpRegistryServer PushKey SignInAttempt"
    assert models == {*known.split(), "Worker"}


def test_which_operations_reach_the_instance() -> None:
    own = {name: op for name, op in OPERATIONS.items() if not name.startswith("test.")}  # tests declare some, too
    assert {name for name, op in own.items() if op.reach is Reach.INSTANCE} == OF_INSTANCE.keys()
    told = {entry["operation"] for entry in operations() if entry["reach"] == "instance"}
    assert told & own.keys() == OF_INSTANCE.keys()


async def test_an_owner_of_another_workspace_changes_nothing(ruled: World) -> None:
    before = await ruled.snapshot()
    for name in OF_INSTANCE:
        assert await call(ruled, ruled.outsider, name, ruled.other.id) == 403, name
        assert await call(ruled, ruled.manager, name) == 403, name
    assert await ruled.snapshot() == before


async def test_administrators_of_the_first_users_workspace_do(ruled: World) -> None:
    for name in OF_INSTANCE:
        status = await call(ruled, ruled.admin, name)
        assert status in (200, 201, 202, 204), (name, status)


async def test_a_switch_of_the_operator_lets_all_administrators(ruled: World, monkeypatch: pytest.MonkeyPatch) -> None:
    changed = instance.settings.model_copy(update={"instance_admins": True})
    monkeypatch.setattr(type(instance), "settings", property(lambda _: changed))
    assert await call(ruled, ruled.outsider, "feature_flags.create", ruled.other.id) in (201, 409)
    body = {"value": "6"}
    live = await ruled.rest(
        ruled.outsider, "PUT", "/api/v1/instance/settings/max_sockets", body, workspace=ruled.other.id
    )
    assert live.status_code == 403, "what has an effect stays the first user's"


async def test_what_reaches_the_instance_has_to_say_so(ruled: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every generated test that carries a command out finds one that does not."""
    caller = bearer(ruled.admin.token)
    monkeypatch.setattr(create_feature_flag, "reach", Reach.WORKSPACE)
    with pytest.raises(Refusal) as broken:
        await create_feature_flag(caller, {"key": "undeclared"}, place=ruled.workspace.id)
    assert "reaches the instance (FeatureFlag)" in str(broken.value.__cause__ or broken.value.__context__)
    assert await ruled.database.fetchval("SELECT count(*) FROM feature_flags WHERE key = 'undeclared'") == 0
    monkeypatch.setattr(syncing.sync_registry, "reach", Reach.WORKSPACE)
    await ruled.database.execute("DELETE FROM instance_facts WHERE name <> $1", BOOTSTRAPPED)
    with pytest.raises(Refusal) as broken:
        await syncing.sync_registry(caller, {}, place=ruled.workspace.id)
    assert "reaches the instance" in str(broken.value.__cause__ or broken.value.__context__)
