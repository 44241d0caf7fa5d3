"""REST: the journal."""

from typing import Annotated, Any

from resolvers.oversight import journal
from rest_compat.http.dispatch import workspace_in_body
from rest_compat.http.envelopes import NEXT, SHOWN, Envelope
from rest_compat.http.streams import Streaming
from rest_compat.http.table import GET, POST, Wire


class JournalEntryJSON(Wire, of=journal.JournalEntryView):
    """Empty keys are omitted."""

    fields = """
        id workspace_id ts entry_type severity priority actor_type summary crew_id agent_id mission_id actor_id trace_id
        payload refs
    """
    absent = "crew_id agent_id mission_id actor_id trace_id payload refs"


class JournalPageJSON(Envelope):
    """`next_cursor` is empty on the last page."""

    entries: list[JournalEntryJSON]
    next_cursor: Annotated[str, NEXT]
    count: Annotated[int, SHOWN]


class JournalCountJSON(Wire, of=journal.JournalCount):
    total: int


def with_last_event(request: Any) -> dict[str, Any]:
    """The query, and the entry that an EventSource has seen last."""
    seen = request.headers.get(b"last-event-id", b"").decode("latin-1")
    return {**request.query, "last_event_id": seen}


ROUTES = (
    GET("/api/v1/journal", journal.list_journal, JournalPageJSON),
    GET(
        "/api/v1/journal/stream",
        journal.stream_journal,
        list[JournalEntryJSON],
        gives=Streaming("text/event-stream"),
        reads=with_last_event,
    ),
    GET("/api/v1/journal/count", journal.count_journal, JournalCountJSON),
    GET("/api/v1/journal/lookup", journal.look_up_names, journal.JournalNames),
    GET("/api/v1/journal/{id}", journal.get_journal_entry, JournalEntryJSON),
    POST("/api/v1/journal/{id}/priority", journal.set_journal_priority, journal.JournalPriorityChanged),
    POST(
        "/api/v1/internal/journal/emit",
        journal.emit_journal_entry,
        journal.JournalEntryEmitted,
        status=202,
        reads=workspace_in_body,
        body_limit=64 * 1024,
    ),
)
