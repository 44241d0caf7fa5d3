"""Commands that leave no audit row, each with its reason. Whatever else a command does is in a log."""

_OWN = "a person's own, which nobody else sees: neither the workspace nor the account is changed"
_RUNTIME = "how the runtime keeps its books: the run and its frames say all of it"
_LOG = "the row that it writes is itself an entry of a log"
_RUNTIME_TOLD = "done by the runtime itself: the keeper's log or an event, and what is kept of it, say all of it"
_FIRST_HALF = "the first half of signing in, or of adding a passkey: nothing is changed until the second, which is told"
_PRIVATE = "has a log of its own, apart from the audit log, so that nobody learns who has opted out (contract: privacy)"

UNAUDITED: dict[str, str] = {
    **dict.fromkeys(
        (
            "feedback.create",
            "feedback.delete",
            "me.notification_prefs_set",
            "me.notification_schedule_set",
            "me.preferences_delete",
            "me.preferences_set",
            "viewer.mark_seen",
        ),
        _OWN,
    ),
    **dict.fromkeys(("notifications.delete", "notifications.read", "notifications.read_all"), _OWN),
    **dict.fromkeys(("budgets.reserve", "model_calls.book", "model_calls.hold", "runs.create_internal"), _RUNTIME),
    **dict.fromkeys(("queries.withdraw", "runs.finish", "runs.finish_internal"), _RUNTIME),
    **dict.fromkeys(("internal.keeper.execute", "internal.keeper.request", "keeper.open"), _LOG),
    **dict.fromkeys(
        [f"internal.keeper.{name}" for name in ("behavior", "memory_health", "negative_learning", "skill_review")], _LOG
    ),
    **dict.fromkeys(("crews.report_containers", "crews.report_preparation"), _RUNTIME_TOLD),
    **dict.fromkeys(
        ("runners.connect", "runners.disconnect", "runners.report", "runners.send", "runners.take_calls"), _RUNTIME_TOLD
    ),
    **dict.fromkeys(
        ("files.report", "keeper.consolidate_card", "keeper.review_memory", "keeper.write_user_model"), _RUNTIME_TOLD
    ),
    **dict.fromkeys(("crews.record_memory", "memory.consolidate_crew"), _RUNTIME_TOLD),
    "memory.note_search": _LOG,
    **dict.fromkeys(("keeper.review_own_skill", "skills.note_use"), _RUNTIME_TOLD),
    **dict.fromkeys(("hooks.note", "internal.cost.record", "journal.emit_internal", "mcp_calls.record"), _LOG),
    **dict.fromkeys(("internal.notifications.send", "webhooks.note_refused", "webhooks.trigger"), _LOG),
    **dict.fromkeys(("auth.google_redirect", "auth.oidc_redirect"), _FIRST_HALF),
    **dict.fromkeys(("auth.passkey_options", "auth.passkey_sign_in_options"), _FIRST_HALF),
    **dict.fromkeys(("agents.peers_get", "agents.peers_delete"), _PRIVATE),
    **dict.fromkeys(("privacy.cards.list", "privacy.cards.purge", "privacy.consent.put"), _PRIVATE),
    **dict.fromkeys(("privacy.user_model", "privacy.user_model_delete", "privacy.user_model_fact_delete"), _PRIVATE),
    "auth.forgot": "anybody may ask for anybody: the mail tells the account's owner, and the use of its link is told",
    "auth.refresh": "a heartbeat of the session; that a token is used twice, which ends it, is told",
    **dict.fromkeys(
        ("inbox.patch", "inbox.bulk"), "marks of whoever reads; what is decided is told where it is decided"
    ),
    **dict.fromkeys(
        ("attention.hand_over", "attention.take_back"), "says which member decides; the decision itself is audited"
    ),
    "escalations.look": "the time at which an agent stops to wait; a question that ends is in the journal",
    "chats.mark_read": "a reading mark",
    "push.prepare": "makes the key that signs all pushes, once for the instance: nothing that anybody chose is changed",
    "routine_webhooks.fire": "the audit row names the run, if one starts: a repeated delivery starts none",
    "push.test": "a notice to a browser of one's own",
    "approvals.ask": "the runtime asks; the approval says all of it, and who decides is told",
    "routines.step_withdraw": "the start of the agent is recorded; this ends its run",
    "onboarding.status": "notes what the rows say already, when a client asks",
}
