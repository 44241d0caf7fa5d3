"""What audited actions do to their rows, which is the kind of their entries in the journal."""

import ast
import re
from collections.abc import Iterator

import asyncpg
import pytest
from alembic import command

from models.kernel import AuditEffect
from models.migrations import revisions
from resolvers.identity.caller import Caller, CredentialKind
from resolvers.kernel.ground.auditing import AuditAction, audit_row, effect_of
from resolvers.kernel.writing.recorder import Audit
from resolvers.people.auth.login import REFUSED
from tests.architecture.source import nodes, python_files
from tests.conftest import Database
from tests.every import each_of
from tests.generation.registry import operations
from tests.world import World

KNOWN = (("delete|remove|revoke", "deleted"), ("restore|unlock", "restored"), ("create|invite", "created"))
"""By what words in the name of an action clients know the kind of its entries."""
BEFORE = "2026_12_01_1"
"""The schema in which a row did not say its effect."""
EVERYTHING = {"crewship.workspaces": "*"}


def known(action: str) -> str:
    return next((effect for words, effect in KNOWN if re.search(words, action, re.IGNORECASE)), "updated")


def written() -> Iterator[str]:
    """Actions that a call names: another than its operation declares."""
    for path in python_files("resolvers"):
        if not re.search(r"\.audit(_here)?\(", path.read_text()):
            continue
        for node in nodes(path):
            if isinstance(node, ast.Call) and getattr(node.func, "attr", "") in ("audit", "audit_here"):
                named = {keyword.arg: keyword.value for keyword in node.keywords}
                if isinstance(action := named.get("action"), ast.Constant):
                    yield str(action.value)


ACTIONS = sorted({op.audit for op in operations() if op.audit} | set(written()) | {REFUSED})


def test_actions_are_found() -> None:
    assert len(ACTIONS) > 190
    assert {effect_of(action) for action in ACTIONS} == set(AuditEffect)
    assert set(written()) - {op.audit for op in operations()}


@each_of("action", ACTIONS)
def test_entries_keep_the_kind_that_clients_know(action: str) -> None:
    if not isinstance(action, AuditAction):
        assert effect_of(action) == known(action)


@each_of(
    ("action", "effect"),
    [
        ("crew.persona_removed", "deleted"),
        ("create", "created"),
        ("user.deleted_soon", "updated"),
        ("removed", "deleted"),
        ("", "updated"),
        (AuditAction("card.shredded", AuditEffect.deleted), "deleted"),
        (AuditAction("label.created", AuditEffect.updated), "updated"),
    ],
)
def test_the_effect_is_declared_or_that_of_the_verb(action: str, effect: str) -> None:
    assert effect_of(action) == effect


def test_an_action_with_an_effect_stays_what_it_is_called() -> None:
    action = AuditAction("card.shredded", AuditEffect.deleted)
    assert action == "card.shredded"
    assert f"{action}" == "card.shredded"
    assert effect_of(Audit(action, "CARD", None, {}).action) is AuditEffect.deleted


@pytest.mark.anyio
async def test_a_command_writes_the_effect(world: World) -> None:
    made = await world.rest(world.admin, "POST", "/api/v1/labels", {"name": "Blue", "color": "#0000ff"})
    path = f"/api/v1/labels/{made.json()['id']}"
    await world.rest(world.admin, "PATCH", path, {"name": "Red"})
    await world.rest(world.admin, "DELETE", path)
    rows = {row["action"]: row["effect"] for row in await world.audit()}
    assert {action: rows[action] for action in rows if action.startswith("label.")} == {
        "label.created": "created", "label.updated": "updated", "label.deleted": "deleted",
    }  # fmt: skip


OLD = """
    INSERT INTO workspaces (id, name, slug, version) VALUES ('w', 'W', 'w', 1);
    INSERT INTO audit_logs (id, workspace_id, action, entity_type, actor_type, data)
    SELECT action, 'w', action, 'X', 'system', '{}' FROM unnest(ARRAY[ACTIONS]) action;
    INSERT INTO instance_facts (name, value, created_at) SELECT 'audit_sealed', min(seq)::text, now() FROM audit_logs
"""


@pytest.mark.anyio
async def test_an_upgrade_reads_the_effect_of_rows_that_are_not_sealed(empty_database: Database) -> None:
    """The line of a sealed row is written, and says the kind."""
    async with revisions.connect(empty_database.owner_url) as connection:
        await connection.run_sync(lambda sync: command.upgrade(revisions.config(sync), BEFORE))
    owner = await asyncpg.connect(empty_database.owner_url, server_settings=EVERYTHING)
    try:
        await owner.execute(OLD.replace("ACTIONS", ", ".join(f"'{action}'" for action in ("sealed", *ACTIONS))))
        await revisions.upgrade(empty_database.owner_url)
        rows = {row["action"]: row["effect"] for row in await owner.fetch("SELECT action, effect FROM audit_logs")}
    finally:
        await owner.close()
    assert rows == {action: known(action) for action in ACTIONS} | {"sealed": None}


def test_a_row_of_many_says_the_effect() -> None:
    row = audit_row(Audit("label.deleted", "LABEL", "1", {}), Caller(CredentialKind.TOKEN), "u", "t", None)
    assert row.effect == "deleted"
