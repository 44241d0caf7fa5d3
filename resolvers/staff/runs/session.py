"""Facts of a coding agent's session, as keys of the run (contract: runs.get). They are in the run's metadata."""

from typing import Any, Final

from sqlalchemy import case, func, null
from sqlalchemy.types import Text

from models.oversight.journal import JournalActor, JournalEntry
from models.staff.runs import Run
from resolvers.kernel import Context, constant, derived

SESSION: Final = "session"
TEXTS: Final = ("cli_version", "api_key_source", "permission_mode", "session_id")
LISTS: Final = ("mcp_server_errors", "permission_denials")
KINDS: Final[dict[str, tuple[Any, str]]] = {
    **dict.fromkeys(TEXTS, (str, "string")),
    **dict.fromkeys(LISTS, (list[Any], "array")),
    "mcp_server_error_count": (int, "number"),
    **{f"{name}_truncated": (bool, "boolean") for name in ("mcp_server_errors", "permission_denials")},
}


def _key(name: str, type_: Any, kind: str) -> Any:
    """Null for a value of another type: programs report metadata of any form."""

    def value(run: Any, scope: Any) -> Any:
        found = run.data[(SESSION, name)]
        shown = found.astext if type_ is str else found
        fits = func.jsonb_typeof(found, type_=Text()) == constant(kind, Text())
        return case((fits, shown), else_=null())

    return derived(type_ | None, value)


SESSION_KEYS: Final = {name: _key(name, *kind) for name, kind in KINDS.items()}


def note_session(ctx: Context, run: Run, data: dict[str, Any]) -> None:
    """Adds the journal entry of the session, if the run's agent said anything of it."""
    session = data.get(SESSION)
    if isinstance(session, dict) and session:
        ctx.record(
            JournalEntry(
                entry_type="run.session_init",
                actor_type=JournalActor.system,
                agent_id=run.agent_id,
                trace_id=run.id,
                summary=f"run {run.id[:8]} session {session.get('session_id') or ''}".rstrip(),
                payload=session,
                refs={"run_id": run.id},
            )
        )
