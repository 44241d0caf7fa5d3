"""Spans are stored in the statement that stores the frames and steps of their run."""

import time
from dataclasses import dataclass
from typing import Any

from models.staff.run_spans import SpanKind, SpanStatus


@dataclass(slots=True)
class Span:
    """A span as a worker knows it. `began` and `ended` are monotonic: PostgreSQL's clock gives the times."""

    seq: int
    kind: SpanKind
    name: str
    began: float
    parent: int | None = None
    ended: float | None = None
    status: SpanStatus = SpanStatus.RUNNING
    summary: str | None = None
    input: Any = None
    output: str | None = None
    model_call: str | None = None

    def row(self, run_id: str) -> dict[str, Any]:
        now = time.monotonic()
        return {
            "run": run_id, "seq": self.seq, "parent": self.parent, "kind": self.kind.value, "name": self.name,
            "status": self.status.value, "began": now - self.began, "ended": None if self.ended is None
            else now - self.ended, "summary": self.summary, "input": self.input, "output": self.output,
            "model_call": self.model_call,
        }  # fmt: skip


CHANGED = ("status", "finished_at", "summary", "output", "model_call_id", "changed")


def traced(spans: str, workspace: str) -> str:
    """A CTE behind `held`, the `id` and `created_at` of runs that the worker holds. `spans` and `workspace` are
    parameters.

    A span is written when it begins and when it ends, or once if both happen between two statements.
    """
    changed = ", ".join(
        f"{name} = excluded.{name}"
        for name in ("status", "finished_at", "summary", "output", "model_call_id", "changed")
    )
    return f"""
traced AS (
    INSERT INTO run_spans (workspace_id, run_id, seq, parent_seq, kind, name, status, started_at, finished_at, summary,
        input, output, model_call_id, changed, created_at)
    SELECT {workspace}, held.id, span.seq, span.parent, span.kind, span.name, span.status,
        now() - make_interval(secs => span.began), now() - make_interval(secs => span.ended), span.summary,
        span.input, span.output, span.model_call, span_place(span.seq), held.created_at
    FROM held JOIN jsonb_to_recordset({spans}::jsonb) AS span (run text, seq int, parent int, kind text, name text,
        status text, began float8, ended float8, summary text, input jsonb, output text, model_call text)
        ON span.run = held.id
    ON CONFLICT (workspace_id, run_id, seq, created_at) DO UPDATE SET {changed}
)"""


# What a worker before has left open was cut off. Returns the number of the last span.
TAKE_OVER = """
WITH held AS (
    SELECT id, created_at FROM runs WHERE id = $1 AND workspace_id = $2 AND lease = $3 AND status = 'RUNNING' FOR SHARE
),
cut_off AS (
    UPDATE run_spans SET status = 'CANCELLED', finished_at = now(), changed = span_place(seq) FROM held
    WHERE run_spans.workspace_id = $2 AND run_id = held.id AND run_spans.created_at = held.created_at AND seq > 0
        AND finished_at IS NULL
)
SELECT coalesce(max(seq), 0) FROM run_spans JOIN held ON run_id = held.id AND run_spans.created_at = held.created_at
WHERE run_spans.workspace_id = $2
"""
