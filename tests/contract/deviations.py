"""Answers that differ from their contract line on purpose, or cannot be compared here, with the reasons."""

from tests.generation.domains import ADDED

# operation -> keys of the answer that the contract does not have
_COPIES = dict.fromkeys(
    ("email", "full_name"), "a command-line client reads them beside the user object (workspaces: ui_depends)"
)
_TOKENS = dict.fromkeys(("expires_soon", "rotated_at"), "what a page warns of before a token ends")
_ACTOR = dict.fromkeys(("actor_type", "actor_id", "changes"), "by whose right, and what changed")
_SPELLING = dict.fromkeys(
    (
        "id", "kind", "reason", "requested_by", "status", "created_at", "timeout_at", "decided_at", "decided_by",
        "comment", "crew_id", "agent_id", "mission_id", "payload",
    ),
    "the web UI and the command line client read this spelling (extras: ui_depends)",
)  # fmt: skip
_ON_CREATE = {"on_create": "whether a rule is applied to new issues"}
_ZONE = {"time_zone": "in which a schedule is read"}
_REFERENCE = {
    "secret_ref": "where the value is, if it is kept in another store",
    "hosts": "where the value goes, if the credential says so itself",
}
_CONTENTS = dict.fromkeys(
    ("rows", "files", "file_bytes", "files_skipped", "content_bytes"), "what a bundle has, and how much it unpacks to"
)
_SCHEDULE = {
    "jitter_seconds": "by how much runs start later",
    "last_error": "why the last occurrence failed",
    "run_as_id": "in whose name runs start",
}
_SCHEME = {"scheme": "how the sender signs"}
_FACTS = {"user_models": "what agents know of the person (privacy-newer)"}
ADDED_KEYS: dict[str, dict[str, str]] = {
    **dict.fromkeys(("backups.inspect", "backups.verify"), _CONTENTS),
    **dict.fromkeys(("admin.gdpr_export", "admin.gdpr_delete"), _FACTS),
    "backups.list": {"error": "why a damaged bundle cannot be restored"},
    "approvals.list": _SPELLING,
    "routines.diff": dict.fromkeys(("keys", "steps"), "the changes by step"),
    "routines.pending": {
        "run_id": "the run is in the list of runs at once",
        "batch_id": "it is a part of a batch",
    },
    **{
        f"routine_budget.{name}": {"hard_stop": "whether the budget ends runs, or only warns"}
        for name in ("get", "set")
    },
    "waitpoints.list": {"id": "names the approval without its token"},
    "approvals.get": _SPELLING,
    "notification_deliveries.list": {"held_until": "the end of quiet hours, or the time of the digest"},
    "audit.list": _ACTOR,
    "members.list": _COPIES,
    "auth.cli_tokens_list": _TOKENS,
    **dict.fromkeys(("schedules.list", "schedules.create", "schedules.update"), _SCHEDULE),
    "internal.routines.schedules.create": _SCHEDULE,
    **dict.fromkeys(("routine_webhooks.list", "routine_webhooks.create"), _SCHEME),
    "auth.session": {"avatar_url": "the newer contract has it"},
    **dict.fromkeys(("triage_rules.list", "triage_rules.create", "triage_rules.update"), _ON_CREATE),
    **dict.fromkeys(("credentials.create", "credentials.update", "internal.credentials.create"), _REFERENCE),
    **dict.fromkeys(("recurring_issues.list", "recurring_issues.create", "recurring_issues.update"), _ZONE),
}

# operation, or domain -> why it is served although the contract does not have it
ADDED_ROUTES: dict[str, str] = ADDED | {
    "missions.tasks_decide": "what holds a task is decided by somebody (missions.behaviour.approvals_of_tasks)",
    "audit.export": "the log as a file",
    "escalations.raise": "agents raise escalations themselves, over the internal API",
    **dict.fromkeys(
        ("internal.assignments.create", "internal.assignments.get"), "agents give each other work by themselves"
    ),
    "internal.queries.create": "agents ask each other by themselves",
    **dict.fromkeys(("admin.gdpr_archive", "admin.gdpr_receipt", "admin.gdpr_download"), "all data of a person"),
    "admin.gdpr_erase": "all data of a person, beyond what agents hold on them",
    "auth.cli_token_rotate": "a new secret without a new token",
    **dict.fromkeys(("admin.retention_list", "admin.retention_set"), "a workspace says how long its rows are kept"),
    **dict.fromkeys(("auth.email_change", "auth.email_confirm"), "whoever gets another address keeps the account"),
    "auth.account_delete": "whoever has an account can end it",
    **dict.fromkeys(
        ("auth.identities_delete", "auth.identities_list", "auth.oidc_callback", "auth.oidc_redirect"),
        "sign-in by other providers than Google",
    ),
    **dict.fromkeys(
        ("invitations.accept", "invitations.delete", "invitations.signup"),
        "invitations that are mailed: the contract has nobody accept one",
    ),
    "members.accept": "a person consents to a membership that somebody else has made",
    "decision_links": "whoever was asked outside this server decides once, by a link",
    "auth.sign_in_providers": "what a login page offers",
    **dict.fromkeys(
        (
            "auth.passkey_delete",
            "auth.passkey_options",
            "auth.passkey_register",
            "auth.passkey_rename",
            "auth.passkey_require",
            "auth.passkey_sign_in",
            "auth.passkey_sign_in_options",
            "auth.passkey_status",
            "auth.passkeys_list",
        ),
        "the same as in GraphQL, for which the pages ask",
    ),
    **dict.fromkeys(
        ("invitations.accept", "invitations.delete", "invitations.signup"), "what an invitation is for, and its end"
    ),
    "security_log": "what was done with an account, for its person",
    **dict.fromkeys(("budgets", "costs", "model_calls", "work_pauses"), "what models cost, and its limits"),
    "approval_gates": "which calls of tools need consent, beside those of the contract",
    "service_accounts": "what acts in a workspace and is no person",
    **dict.fromkeys(("runners", "credentials.allow_on_runners"), "other machines that execute the tools of agents"),
    **dict.fromkeys(("webhooks.list", "webhooks.test"), "what came of deliveries, and a way to try one"),
    **dict.fromkeys(("webhooks.configure", "webhooks.get"), "who sends to an agent, and so how it is signed"),
    **dict.fromkeys(
        ("me.notification_schedule_get", "me.notification_schedule_set"),
        "quiet hours and digests of a member",
    ),
    "notification_deliveries.redeliver": "a member sends a message of the log again",
    "webhook_endpoints": "the events of a workspace, delivered to servers of others",
}

# operation -> another one, whose events its line means in words
AS_WELL: dict[str, str] = {"missions.resume": "missions.start"}

# operation -> a value that its line does not name, in its object's words
WIDER: dict[str, dict[str, str]] = {
    f"crew_integrations.{name}": {
        "auth_status": "empty where a server was just made or changed (contract: its comment)"
    }
    for name in ("create", "update")
} | {
    name: {"status": "issues are listed as well, with states of issues (missions.objects.Mission)"}
    for name in ("missions.list", "missions.list_all")
}

# operation -> a time that its line has with fractions of a second, unlike all others
FRACTIONS: dict[str, str] = {
    "admin.gdpr_export": r"answer\.exported_at",
    **dict.fromkeys(("checkpoints.get", "missions.checkpoints_create"), r"answer\.created_at"),
    "checkpoints.restore": r"answer\.checkpoint\.created_at",
    "missions.checkpoints_list": r"answer\.checkpoints\[\d+\]\.created_at",
}

# operation -> an object of its answer whose keys are ids, where its line names what they are of
_MEMORY = r"answer(\.checkpoint|\.checkpoints\[\d+\])?\.state\.agent_memory"
MAPS: dict[str, str] = {
    "internal.missions.create": r"answer\.tasks",
    **dict.fromkeys(
        ("checkpoints.get", "checkpoints.restore", "missions.checkpoints_create", "missions.checkpoints_list"), _MEMORY
    ),
}

# operation -> events of its line that a call does not write itself
LATER_EVENTS: dict[str, dict[str, str]] = {
    "crews.provision": dict.fromkeys(
        [f"provision.{told}" for told in ("started", "progress", "event", "completed", "failed")],
        "of the build that goes on",
    ),
    "webhooks.trigger": dict.fromkeys(("agent.log", "run.completed", "run.failed"), "of the run that goes on"),
    **{
        f"routines.{verb}": {"inbox.updated": "of the item of a routine that waits for its review"}
        for verb in ("approve", "delete", "disable", "reject", "save")
    },
    "runs.finish_internal": {"run.failed": "of a run that ends otherwise: a call ends one run in one way"},
}

# operation -> events of its line that it does not send itself
PLANNED_EVENTS: dict[str, dict[str, str]] = {
    "crews.provision": dict.fromkeys(
        [f"provision.{told}" for told in ("started", "progress", "event", "completed", "failed")],
        "the build, a job, tells them",
    ),
    "webhooks.trigger": dict.fromkeys(("run.completed", "run.failed"), "the end of the run tells of itself"),
}

# operation -> events that its line does not have
_PROPOSED = {"inbox.updated": "the inbox shows at once what is proposed and what was decided (extras: inbox_sources)"}
ADDED_EVENTS: dict[str, dict[str, str]] = {
    "internal.issues.attachments_create": {"issue.updated": "people see at once what an agent attached"},
    **dict.fromkeys(("internal.skills.author", "skills.proposed.approve", "skills.proposed.reject"), _PROPOSED),
    **dict.fromkeys(("consolidate.proposal_approve", "consolidate.proposal_reject"), _PROPOSED),
    **dict.fromkeys(("agents.hire", "agents.approve_hire", "agents.persona_suggest"), _PROPOSED),
    "agents.avatar_store": {"agent.updated": "people see the other picture at once"},
    "agents.avatar_delete": {"agent.updated": "people see the other picture at once"},
    **{
        name: {"pipeline.run.started": "one of its line's run_events"}
        for name in (
            "routines.run",
            "routines.replay_run",
            "schedules.run",
            "routine_webhooks.fire",
            "internal.pipelines.run",
        )
    },
    **{
        f"routines.{verb}": {"pipeline.runs.queued": "lists learn of runs that have not begun"}
        for verb in ("run_batch", "bulk_replay")
    },
    "routines.pending_cancel": {"pipeline.run.failed": "lists learn of the end of a run that had not begun"},
    **{
        f"routines.{verb}": {"pipeline.saved": "the catalogue has changed (routines: run_events)"}
        for verb in ("import", "rollback")
    },
    **{
        name: {f"routine_schedule.{verb}": "lists of schedules change", "inbox.updated": "as of any other item"}
        for name, verb in (
            ("schedules.create", "created"),
            ("schedules.update", "updated"),
            ("schedules.delete", "deleted"),
            ("internal.routines.schedules.create", "created"),
        )
    },
    "routines.cancel_run": {"pipeline.run.failed": "lists learn of the end of a run that waited, too"},
    "waitpoints.complete": {"waitpoint.decided": "a list of what waits for people changes"},
    "waitpoints.approve": {"waitpoint.decided": "a list of what waits for people changes"},
    "approvals.cancel": {"approval.cancelled": "a list of what waits for people changes"},
    "approvals.decide": {"approval.decided": "a list of what waits for people changes"},
    **{
        f"templates.{verb}": {f"workflow_template.{verb}d": "templates of both kinds are rows of one list"}
        for verb in ("create", "update", "delete")
    },
    "checkpoints.fork": {"mission.updated": "boards show the new mission"},
    "chats.participants_add": {"participant.added": "whoever has the chat open sees it"},
    "chats.participants_remove": {"participant.removed": "whoever has the chat open sees it"},
    "chats.reactions_add": {"reaction.added": "whoever has the chat open sees it"},
    "chats.reactions_remove": {"reaction.removed": "whoever has the chat open sees it"},
    "crews.files.delete": {"file.event": "viewers of the folder learn of it at once (events: file.event)"},
    "agents.files_save": {"file.event": "the folder of an agent is in that of its crew (events: file.event)"},
    "chats.attachments_delete": {"file.event": "attachments are files of the crew (events: file.event)"},
    "chats.attach": {"file.event": "attachments are files of the crew (events: file.event)"},
    "agents.stop": {"agent.status": "dashboards show the status that this event tells them (agents.stop: notes)"},
}

# event -> keys of its payload that the contract does not have
_SLUG = {"agent_slug": "the web UI names the agent by it"}
ADDED_EVENT_KEYS: dict[str, dict[str, str]] = {"run.completed": _SLUG, "run.failed": _SLUG}

# operation -> events of its line that it sends with other keys
OTHER_KEYS: dict[str, dict[str, str]] = {
    f"routines.{verb}": {"inbox.updated": "the id and the state of the item, as of any other"}
    for verb in ("approve", "delete", "disable", "reject", "save")
}

# operation -> statuses of its line that it never answers
NEVER: dict[str, dict[int, str]] = {
    "chats.attachments_delete": {409: "files of chats lie outside containers"},
    "chats.list_all": {404: "what a server answers that does not serve this route"},
    "consolidate.proposal_diff": {410: "the text of a proposal is kept with it"},
}

# operation -> why its declaration differs from the line
DECLARED: dict[str, str] = {
    "waitpoints.complete": "nothing is signed: the token alone decides",
    "agents.peers_get": "it is recorded who reads a card, which makes it a command, open to every member",
    "saved_views.delete": "its `owner` is who owns the view, a member of any role (the recordings have it so)",
}
