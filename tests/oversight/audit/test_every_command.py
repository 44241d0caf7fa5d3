"""What every command leaves in a log: its action, the row that it is about, and nothing secret."""

import re
from typing import Any

import orjson
import pytest

from models.base import classes_of_tables, secrets_of, table_of
from resolvers.kernel.declarations.operation import OPERATIONS, Auth, Operation
from tests.every import each_of, for_every
from tests.generation.domains import recipe_of
from tests.generation.estate import Estate
from tests.generation.estate import estate as estate
from tests.generation.inputs import fields_of, valid
from tests.generation.recipes import PASSWORD
from tests.generation.recorder import Change
from tests.generation.registry import operations, surfaces_of
from tests.generation.surfaces import Outcome
from tests.oversight.audit.unaudited import UNAUDITED

pytestmark = [pytest.mark.anyio, pytest.mark.thorough]
COMMANDS = [op for op in operations() if op.kind == "command"]
CALLED = [op for op in COMMANDS if surfaces_of(op)]
LOGS = ("audit_logs", "security_logs")
ACTION = re.compile(r"[a-z]+(_[a-z]+)*\.[a-z]+(_[a-z]+)*")
OF_THE_CONTRACT = {"agents.create": "create", "agents.update": "update", "agents.delete": "delete"}
OF_NO_ROW = {
    "admin.log_level_set",
    "admin.memory_config_patch",
    "admin.reencrypt",
    "approvals.reset_auto_tuning",
    "consolidate.run",
    "escalations.purge",
    "inbox.purge",
    "mcp_registry.sync",
}
"""What they change has no id."""
SAME = {
    "auth.signout",
    "chats.cancel",
    "chats.participants_remove",
    "crews.files.delete",
    "escalations.sweep",
    "members.accept",
    "service_accounts.deactivate",
    "triage.process",
}
"""What the valid input of the generator leaves as it is."""
SEALED = {table_of(model).name: secrets_of(model) for model in classes_of_tables()}
CANARY = "canary-4f1d9c2b7e"
SECRET = ("hash", "password", "secret", "token")
SECRET_FIELD = re.compile(r"password|secret|token(?!_expires)|credential|_json|_config|config_|value$", re.IGNORECASE)
CONFIGURATIONS = {
    "mcp_config_json": orjson.dumps({"mcpServers": {"a": {"command": "x", "env": {"KEY": CANARY}}}}).decode(),
    "services_json": orjson.dumps([{"name": "db", "image": "postgres:18", "env": {"KEY": CANARY}}]).decode(),
    "devcontainer_config": orjson.dumps({"image": "debian", "containerEnv": {"KEY": CANARY}}).decode(),
    "mise_config": f'[env]\nKEY = "{CANARY}"\n',
}


@for_every(COMMANDS, ids=lambda op: op.name)
def test_a_command_says_what_it_audits_or_stands_with_the_reason(op: Operation[Any]) -> None:
    assert (op.audit is None) == (op.name in UNAUDITED), "declare `audit=`, or say why not in unaudited.py"
    if op.audit is not None and OF_THE_CONTRACT.get(op.name) != op.audit:
        assert ACTION.fullmatch(op.audit), "an action is named noun.verb"


def test_reasons_are_of_commands_that_are_there() -> None:
    assert UNAUDITED.keys() <= OPERATIONS.keys()


def logged(changes: list[Change]) -> list[dict[str, Any]]:
    return [change.new for change in changes if change.table in LOGS and change.new is not None and change.old is None]


def is_told_with_its_row_and_its_actor(op: Operation[Any], outcome: Outcome) -> None:
    """Of what came of a command's valid input."""
    rows = [row for row in logged(outcome.changes) if row["action"] == op.audit]
    changed = [change.table for change in outcome.changes if change.watched and change.table not in LOGS]
    if op.audit is None:
        assert logged(outcome.changes) == []
        return
    if not changed:
        assert outcome.code is not None or op.name in SAME, "the case changes nothing"
        return
    assert rows, f"{changed} changed, and no row tells of {op.audit}"
    for row in rows:
        assert row["entity_id"] or op.name in OF_NO_ROW
        assert row["entity_type"]
        assert row["actor_id"] or op.auth is Auth.NONE
        assert row["user_id"] or op.auth is not Auth.USER


@each_of("op", CALLED, ids=lambda op: op.name)
async def test_no_secret_gets_into_a_log(op: Operation[Any], estate: Estate) -> None:
    """Neither what is sent as one, nor what is stored or answered as one."""
    fields, known = fields_of(op), recipe_of(op.name).values
    secret = [name for name, part in fields.items() if SECRET_FIELD.search(name) and part.get("type") == "string"]
    raw = valid(op, estate, None, *secret)
    if op.name == "instance_settings.put":
        raw["key"] = "smtp.password"  # of others the value is no secret
    raw |= {n: CONFIGURATIONS.get(n, CANARY) for n in secret if n not in known and "enum" not in fields[n]}
    outcome = await estate.call(surfaces_of(op)[0], op, raw, estate.caller(op))
    told = orjson.dumps(logged(outcome.changes)).decode()
    stored = {
        str(value)
        for change in outcome.changes
        for name, value in [*(change.new or {}).items(), *(change.old or {}).items()]
        if value is not None and (name.endswith(SECRET) or name in SEALED.get(change.table, ()))
    }
    answered = outcome.body if isinstance(outcome.body, dict) else {}
    stored |= {str(value) for name, value in answered.items() if name in ("token", "cli_token", "code", "cliToken")}
    for text in {CANARY, PASSWORD, *stored}:
        assert text not in told
