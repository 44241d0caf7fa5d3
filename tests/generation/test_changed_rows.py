"""The answer of a mutation has the row that it changed, by type and id: clients update their caches from it."""

from collections.abc import Iterator
from typing import Any

import pytest
from graphql import GraphQLObjectType, get_named_type

from models.kernel import AuditEffect
from resolvers.kernel.declarations.operation import OPERATIONS, Operation
from resolvers.kernel.declarations.outputs import Output, Success
from resolvers.kernel.ground.auditing import effect_of
from schema.bridge.changed import GONE, _nouns
from schema.bridge.fields import NODES
from tests.every import each_of
from tests.generation.estate import Estate
from tests.generation.inputs import valid
from tests.generation.registry import graphql_fields, operations
from tests.generation.selection import required_arguments

pytestmark = [pytest.mark.anyio, pytest.mark.thorough]
MUTATIONS = [op for op in operations() if op.kind == "command" and op.audit and op.name in graphql_fields()]
LOGS = ("audit_logs", "security_logs")
_ACCOUNT = "an account, a session or a token, of no workspace: what it is for is in the answer"
_NO_ID = "what it changes has no id, or is found by a key"
_NO_TYPE = "rows of this kind have no type in the schema"
_EMPTY = "it answers without a content; reads of the agent show that the picture is gone"
_READ = "reads have the same answer, which has the id of the row"
_PERSON = "the person's data are gone, or leave the service"
UNSHOWN: dict[str, str] = {
    "agents.avatar_delete": _EMPTY,
    "credentials.reveal_policy_set": "it answers with the switch and the id of the workspace",
    **dict.fromkeys(("auth.cli_token_create", "auth.cli_token_revoke", "auth.cli_token_rotate"), _ACCOUNT),
    **dict.fromkeys(("auth.email_confirm", "auth.login", "auth.pair_redeem", "auth.reset", "auth.signup"), _ACCOUNT),
    **dict.fromkeys([f"users.{verb}" for verb in ("avatar_upload", "change_password", "update_me")], _ACCOUNT),
    **dict.fromkeys(("invitations.signup", "onboarding.complete", "onboarding.setup"), _ACCOUNT),
    **dict.fromkeys(("admin.gdpr_archive", "admin.gdpr_delete", "admin.gdpr_erase", "admin.gdpr_export"), _PERSON),
    **dict.fromkeys(
        ("memory.import", "memory.version_restore", "consolidate.proposal_approve", "consolidate.proposal_reject"),
        _NO_TYPE,
    ),
    "consolidate.run": "a job of no row",
    **dict.fromkeys(("admin.log_level_set", "admin.memory_config_patch", "admin.retention_set"), _NO_ID),
    **dict.fromkeys(
        ("notification_templates.delete", "notification_templates.set"), "a template is named by category and channel"
    ),
    "notification_providers.update": "a provider has no row of its own: its name is in the answer",
    **dict.fromkeys(("approvals.reset_auto_tuning", "escalations.purge", "inbox.purge", "mcp_registry.sync"), _NO_ID),
    **dict.fromkeys(("admin.reencrypt", "instance_settings.put"), _NO_ID),
    "routines.bulk_replay": "the log names the workspace, the answer the runs",
    "signals.send": "the log names the workspace, the answer the runs that were waiting",
    **dict.fromkeys(("agents.files_save", "crews.files.save", "auth.pair_start"), _NO_TYPE),
    **dict.fromkeys(("connectors.install", "decision_links.decide", "routine_trust.grant"), _NO_TYPE),
    **dict.fromkeys([f"service_accounts.tokens.{verb}" for verb in ("create", "revoke", "rotate")], _ACCOUNT),
    "members.update_role": "the log names the user, the answer is the membership",
    "agents.persona_suggest": "the log names the persona, the answer leads to its agent",
    **dict.fromkeys(
        ("chat_attachments.delete", "chats.attachments_delete"),
        "the log names the crew of the file, the answer the attachment",
    ),
    "checkpoints.restore": "its answer shows the checkpoint in another form",
    "issues.relations_create": "a relation is shown from its ends: the answer leads to the issue with it",
    "missions.clone": "the log names the mission that was copied, the answer leads to the copy",
    "skills.proposed.approve": "the proposal is gone: the answer leads to the skill",
    "journal.set_priority": "the answer has the id; its type is of a report",
    **dict.fromkeys(("credentials.test_stored", "members.capabilities_update", "webhooks.configure"), _READ),
    "routines.reject": "a routine that was never active is gone: the answer has its slug",
    **{
        f"hooks.{name}": "the answer is the hook, with the id of the row; no other type shows the row"
        for name in ("create", "update", "enable", "disable")
    },
    "credentials.rotate": "the row is the rotation, which leads to its credential",
}
"""Operations whose answer does not have the row, by type and id, with reasons."""


def selection(type_: Any) -> str:
    parts = ["__typename", *(name for name in type_.fields if name == "id" or name.endswith("Id"))]
    for name, definition in type_.fields.items():
        inner = get_named_type(definition.type)
        if isinstance(inner, GraphQLObjectType) and "id" in inner.fields and not required_arguments(definition):
            parts.append(f"{name} {{ __typename id }}")
    return "{ " + " ".join(parts) + " }"


def objects(part: Any) -> Iterator[dict[str, Any]]:
    if isinstance(part, list):
        for each in part:
            yield from objects(each)
    if isinstance(part, dict):
        yield part
        for each in part.values():
            yield from objects(each)


def types_of(noun: str) -> set[str]:
    """The types of rows of this kind."""
    return {
        kind.__strawberry_definition__.name  # type: ignore[attr-defined]
        for shown, kinds in NODES.items()
        if noun in _nouns(shown)
        for kind in kinds
    }


def _row_id(part: dict[str, Any]) -> Any:
    """Without the part of the id that names a workspace."""
    return part["id"].partition(":")[0] if isinstance(part.get("id"), str) else None


def _texts(parts: list[dict[str, Any]]) -> Iterator[str]:
    return (value for part in parts for value in part.values() if isinstance(value, str))


@each_of("op", MUTATIONS)
async def test_the_answer_has_the_row_that_the_log_names(op: Operation[Any], estate: Estate) -> None:
    definition = graphql_fields()[op.name][0][2]
    asked = selection(get_named_type(definition.type))
    outcome = await estate.call("graphql", op, valid(op, estate), estate.caller(op), selection=asked)
    logged = [c.new for c in outcome.changes if c.table in LOGS and c.new is not None and c.new["action"] == op.audit]
    if not logged:
        pytest.skip("the valid input changes nothing")
    ids, types = {row["entity_id"] for row in logged}, types_of(str(op.audit).partition(".")[0])
    types |= set() if issubclass(op.model, Output) else {str(get_named_type(definition.type))}
    answered = [*objects(outcome.body)]
    found = any(each.get("__typename") in types and _row_id(each) in ids for each in answered)
    named = ids & {_row_id(each) for each in answered} or ids & set(_texts(answered))
    gone = effect_of(str(op.audit)) is AuditEffect.deleted or op.model is Success or op.audit in GONE
    shown = found or bool(named and gone)
    assert shown is (op.name not in UNSHOWN), f"{op.audit} of {types} {ids}: {outcome}"


def test_reasons_are_of_operations_that_are_there() -> None:
    assert UNSHOWN.keys() <= OPERATIONS.keys()
