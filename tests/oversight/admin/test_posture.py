"""The security posture: each weakness is shown while it holds, and no longer; no secret is in it."""

from pathlib import Path
from typing import Any

import pytest

from models.kernel import AuditLog, InstanceFact
from resolvers.instance.bundles.records import MADE
from resolvers.instance.running import instance
from resolvers.instance.settings import load_settings
from resolvers.oversight.admin import posture
from resolvers.oversight.admin.posture import PostureKey, weaknesses
from tests.every import each_of
from tests.world import World

pytestmark = pytest.mark.anyio
PATH = "/api/v1/admin/security-posture"
SOUND = {"ratelimit_disabled": False, "allow_signup": False, "mcp_allow_private": False, "hooks_allow_private": False}


def found(*, key_in_data: bool = False, backed_up: bool = True, **changes: Any) -> dict[str, str]:
    settings = load_settings().model_copy(update={"env": ""} | SOUND | changes)
    told = weaknesses(settings, key_in_data=key_in_data, backed_up=backed_up)
    return {each.key.value: each.severity.value for each in told}


@each_of(
    ("given", "told"),
    [
        ({}, {}),
        ({"env": "production"}, {}),
        ({"ratelimit_disabled": True}, {"rate_limit_disabled": "medium"}),
        ({"allow_signup": True}, {"signup_open": "medium"}),
        ({"allow_signup": True, "env": "prod"}, {"signup_open": "high"}),
        ({"mcp_allow_private": True}, {"private_endpoints_ceiling_open": "info"}),
        ({"hooks_allow_private": True}, {"private_endpoints_ceiling_open": "info"}),
        ({"key_in_data": True}, {"encryption_key_generated": "medium"}),
        ({"key_in_data": True, "env": "production"}, {"encryption_key_generated": "high"}),
        ({"backed_up": False}, {"no_backup_recorded": "medium"}),
    ],
)
def test_a_weakness_is_shown_while_it_holds(given: dict[str, Any], told: dict[str, str]) -> None:
    assert found(**given) == told


def test_the_most_severe_comes_first() -> None:
    told = found(env="prod", allow_signup=True, mcp_allow_private=True, backed_up=False)
    assert list(told.values()) == ["high", "medium", "info"]
    assert set(posture.MESSAGES) == set(PostureKey)


async def told(world: World) -> Any:
    answer = await world.rest(world.admin, "GET", PATH)
    assert answer.status_code == 200
    return answer.json()


async def test_a_backup_is_recorded_for_its_own_workspace_and_of_the_instance_for_all(world: World) -> None:
    def warned(answer: Any) -> bool:
        return "no_backup_recorded" in [each["key"] for each in answer["warnings"]]

    assert warned(await told(world))
    made = {"action": "backup.create", "entity_type": "BACKUP", "data": {}}
    await world.add(AuditLog(workspace_id=world.other.id, **made))
    assert warned(await told(world)), "of another workspace"
    await world.add(AuditLog(workspace_id=world.workspace.id, **made))
    assert not warned(await told(world))
    await world.database.execute("DELETE FROM audit_logs WHERE action = 'backup.create'")
    await world.add(InstanceFact(name=MADE, value="{}"))
    assert not warned(await told(world))
    await world.database.execute("DELETE FROM instance_facts WHERE name = $1", MADE)


async def test_a_generated_key_is_named_and_not_shown(world: World, tmp_path: Path, monkeypatch: Any) -> None:
    (tmp_path / "secrets.env").write_text("# ENCRYPTION_KEY=\nNEXTAUTH_SECRET=s3cret\n")
    changed = instance.settings.model_copy(update={"data_dir": tmp_path})
    monkeypatch.setattr(type(instance), "settings", property(lambda _: changed))
    keys = [each["key"] for each in (await told(world))["warnings"]]
    assert "encryption_key_generated" not in keys
    (tmp_path / "secrets.env").write_text(f"ENCRYPTION_KEY={'ab' * 32}\n")
    answer = await told(world)
    assert "encryption_key_generated" in [each["key"] for each in answer["warnings"]]
    assert "abab" not in str(answer)
    assert answer["encryption_key_configured"] is True
    assert answer["plaintext_secrets_allowed"] is False


async def test_below_administrators_nobody_sees_it(world: World) -> None:
    assert (await world.rest(world.manager, "GET", PATH)).status_code == 403
