"""Examples of request bodies, made from the schema of the body and the names of its fields."""

from collections.abc import Mapping
from typing import Any

ID = "cm4xq8v7k0000a1b2c3d4"
DAY, TIME = "2027-03-31", "2027-03-31T12:00:00Z"

VALUES: Mapping[str, Any] = {
    "action": "approve",
    "amount_usd": 25,
    "args_json": '["--read-only"]',
    "cli_adapter": "CLAUDE_CODE",
    "code": "ABCD-EFGH",
    "color": "#3b82f6",
    "comment": "Looks right.",
    "content": "Prefer short answers.",
    "crew_name": "Research",
    "cron_expression": "0 9 * * 1",
    "description": "Reads the news and writes summaries.",
    "due_date": DAY,
    "email": "ada@example.com",
    "emoji": "👍",
    "enabled": True,
    "endpoint": "https://mcp.example.com/mcp",
    "env_var_name": "API_KEY",
    "event_types": ["run.completed"],
    "fields": {},
    "file_name": "house-style.md",
    "filters_json": "{}",
    "from_slug": "scout",
    "full_name": "Ada Lovelace",
    "git_url": "https://git.example.com/skills.git",
    "llm_model": "claude-sonnet-4-6",
    "mcp_url": "https://mcp.example.com/mcp",
    "message": "Also compare the prices.",
    "model": "claude-sonnet-4-6",
    "name": "Research",
    "new_password": "correct horse battery staple",
    "password": "correct horse battery staple",
    "pattern": "login",
    "priority": "high",
    "prompt": "Writes release notes from a list of changes.",
    "query": "release notes",
    "question": "Which of the three offers is the cheapest?",
    "reason": "The quarterly review asks for it.",
    "role": "MEMBER",
    "slug": "research",
    "status": "in_progress",
    "summary": "The import is done.",
    "system_prompt": "You read the news and write summaries.",
    "target_slug": "scout",
    "task": "Compare the three offers.",
    "template_json": "{}",
    "title": "Compare the three offers",
    "tool_name": "search",
    "url": "https://hooks.example.com/crewship",
    "workspace_name": "Example Inc.",
}
"""Examples by the name of the field; a choice or a number that does not allow the value has its own first one
instead.
"""

COMMON = frozenset(
    {
        "color", "comment", "content", "description", "enabled", "endpoint", "name", "priority", "role", "status",
        "system_prompt", "title",
    }
)  # fmt: skip
"""Shown wherever the body has them, whether they are required or not."""

SKILL = "---\nname: house-style\ndescription: How we write.\n---\nWrite short sentences.\n"
STAGES = (
    '[{"name": "Draft", "type": "open", "position": 1}, {"name": "Review", "type": "started", "position": 2},'
    ' {"name": "Done", "type": "completed", "position": 3}]'
)
ROUTINE = "name: echo\nsteps:\n  - {id: say, type: transform, transform: {input: hello, expression: .}}\n"
PASSKEY = {"id": "AQIDBA", "rawId": "AQIDBA", "type": "public-key", "response": {}}

OF_OPERATION: Mapping[str, Any] = {
    "admin.retention_set": {"days": 90},
    "agent_credentials.assign": {"credential_id": ID, "env_var_name": "API_KEY"},
    "agents.create": {
        "name": "Scout",
        "slug": "scout",
        "crew_id": ID,
        "description": "Reads the news and writes summaries.",
        "llm_provider": "ANTHROPIC",
        "llm_model": "claude-sonnet-4-6",
        "system_prompt": "You read the news and write summaries.",
    },
    "agents.hire": {"crew_id": ID, "template_slug": "researcher", "reason": "A second pair of eyes for the review."},
    "agents.update": {"name": "Scout", "system_prompt": "You read the news and write summaries."},
    "approval_gates.create": {"pattern": "run_command", "mode": "sync", "agent_id": ID},
    "auth.cli_token_create": {"name": "backup script", "scopes": ["crews:read"], "expires_in_seconds": 2592000},
    "auth.cli_token_rotate": {"overlap_seconds": 300},
    "auth.email_confirm": {"token": "the token of the mailed link"},
    "auth.login": {
        "email": "ada@example.com",
        "password": "correct horse battery staple",
        "csrfToken": "the csrfToken of GET /api/auth/csrf",
    },
    "auth.passkey_register": {"name": "Laptop", "credential": PASSKEY},
    "auth.passkey_rename": {"name": "Laptop"},
    "auth.passkey_sign_in": {"csrf_token": "the csrfToken of GET /api/auth/csrf", "credential": PASSKEY},
    "auth.reset": {"token": "the token of the mailed link", "new_password": "correct horse battery staple"},
    "budgets.create": {"crew_id": ID, "period": "day", "amount_usd": 25},
    "budgets.update": {"amount_usd": 25},
    "credentials.create": {"name": "GH_TOKEN", "type": "SECRET", "provider": "GITHUB", "value": "the secret"},
    "credentials.rotate": {"value": "the new secret", "grace_seconds": 3600},
    "credentials.update": {"description": "For the release notes."},
    "credentials.update.put": {"description": "For the release notes."},
    "connectors.install": {"crew_id": ID, "name": "Tracker", "fields": {"API_KEY": "the secret"}},
    "crew_ai.suggest": {"description": "A crew that writes release notes from merged changes."},
    "crew_tools.refresh": {"tools": [{"name": "search", "description": "Finds pages."}]},
    "escalations.resolve": {"resolution": "Use the staging account.", "action": "approve"},
    "feature_flags.create": {"key": "new_board", "description": "The new board.", "enabled": True, "percentage": 20},
    "instance_settings.put": {"value": "true"},
    "internal.skills.author": {"content": SKILL},
    "invitations.accept": {"token": "the token of the mailed link"},
    "issues.bulk": {"ids": [ID], "updates": {"status": "DONE"}},
    "issues.comments_create": {"body": "The second offer is the cheapest."},
    "issues.relations_create": {"target_identifier": "RES-2", "relation_type": "blocks"},
    "issues.update": {"status": "IN_PROGRESS", "priority": "high"},
    "me.notification_prefs_set": {"cells": [{"category": "routines.failed", "channel_id": ID, "state": "immediate"}]},
    "me.notification_schedule_set": {"time_zone": "Europe/Prague", "quiet_from": "22:00", "quiet_until": "07:00"},
    "members.capabilities_update": {"grant": ["issue_create"]},
    "missions.tasks_update": {"status": "COMPLETED", "result_summary": "The second offer is the cheapest."},
    "notification_channels.test_draft": {"type": "webhook", "url": "https://example.com/hook"},
    "notification_channels.create": {"type": "email", "to": "ada@example.com", "events": ["run.completed"]},
    "notification_templates.set": {"category": "routines.failed", "title": "Failed: {{ source.title }}"},
    "onboarding.setup": {"workspace_name": "Example Inc.", "crew_name": "Research", "agent_name": "Scout"},
    "routines.save": {"slug": "echo", "definition": ROUTINE, "save_token": "the save_token of validate"},
    "routines.validate": {"definition": ROUTINE},
    "routines.test_run": {"definition": ROUTINE},
    "internal.pipelines.test_run": {"workspace_id": ID, "definition": ROUTINE, "author_crew_id": ID},
    "internal.pipelines.save": {
        "workspace_id": ID,
        "slug": "echo",
        "definition": ROUTINE,
        "author_crew_id": ID,
        "save_token": "the save_token of the test run",
    },
    "runs.finish_internal": {"status": "COMPLETED", "exit_code": 0},
    "service_accounts.create": {"name": "Deployments", "role": "MEMBER"},
    "service_accounts.tokens.create": {"name": "pipeline", "scopes": ["crews:read"], "expires_in_seconds": 2592000},
    "service_accounts.tokens.rotate": {"overlap_seconds": 300},
    "skills.import": {"content": SKILL},
    "skills.proposed.approve": {"crew_id": ID, "file_name": "skill-house-style.md"},
    "skills.proposed.reject": {"crew_id": ID, "file_name": "skill-house-style.md"},
    "webhooks.trigger": {"event": "push", "source": "code host", "data": {"branch": "main"}},
    "workflow_templates.create": {"name": "Review", "template_json": STAGES, "description": "Draft, then review."},
}
"""Examples that the names do not determine."""


def example(operation: str, schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> Any:
    """A body that the schema allows."""
    if operation in OF_OPERATION:
        return OF_OPERATION[operation]
    return _object(_resolved(schema, definitions), definitions, COMMON)


def _object(schema: Mapping[str, Any], definitions: Mapping[str, Any], also: frozenset[str]) -> dict[str, Any]:
    parts: Mapping[str, Any] = schema.get("properties", {})
    required = schema.get("required", ())
    wanted = [name for name in parts if name in required or name in also]
    wanted = wanted or [*[name for name in parts if name in VALUES], *parts][:1]
    return {name: _value(name, _resolved(parts[name], definitions), definitions) for name in wanted}


def _resolved(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> Mapping[str, Any]:
    """Without references, and without the choice of null."""
    if "$ref" in schema:
        return _resolved(definitions[schema["$ref"].rsplit("/", 1)[1]], definitions)
    choices = [choice for choice in schema.get("anyOf", ()) if choice.get("type") != "null"]
    return _resolved(choices[0], definitions) if choices else schema


def _value(name: str, schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> Any:
    known = VALUES.get(name)
    choices = schema.get("enum", [schema["const"]] if "const" in schema else [])
    if choices:
        return known if known in choices else choices[0]
    kind = schema.get("type")
    if known is not None and kind in (None, _type_of(known)):
        return known
    if kind == "string":
        return _text(name, schema)
    if kind in ("integer", "number"):
        return max(schema.get("minimum", 1), schema.get("exclusiveMinimum", 0) + 1, 1)
    if kind == "boolean":
        return True
    if kind == "array":
        item = _resolved(schema.get("items", {"type": "string"}), definitions)
        return [_value(name.removesuffix("s"), item, definitions)]
    return _object(schema, definitions, frozenset()) if schema.get("properties") else {}


def _type_of(value: Any) -> str:
    names = {str: "string", bool: "boolean", int: "integer", list: "array", dict: "object"}
    return names[type(value)]


def _text(name: str, schema: Mapping[str, Any]) -> str:
    if schema.get("format") == "date-time":
        return TIME
    if schema.get("format") == "date":
        return DAY
    if name == "id" or name.endswith(("_id", "_ids")):
        return ID
    return name.replace("_", " ").ljust(schema.get("minLength", 0), "x")[: schema.get("maxLength", 200)]
