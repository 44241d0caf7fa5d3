"""The content of a journal entry: its line, and the row with the details."""

from datetime import datetime
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    DateTime,
    Numeric,
    and_,
    case,
    cast,
    column,
    func,
    null,
    or_,
    select,
    true,
    union_all,
)
from sqlalchemy import Text as SQLText
from sqlalchemy.dialects.postgresql import JSONB

from models.kernel import AuditLog
from models.oversight.journal import JournalActor, JournalEntry, Priority, Severity
from models.resources.costs import ModelCall
from models.staff.agents import Agent
from models.staff.assignments import HANDED_OVER, Escalation, PeerConversation
from models.staff.chats import Message
from models.staff.crews import Crew
from models.staff.runs import Run
from models.work.issues import IssueActivity, IssueComment
from models.work.missions import Assignment, Mission
from resolvers.kernel import EVERYONE, Action, QueryScope, View, constant, graph, one
from resolvers.kernel.admission.entities import shows_data

SHOWN = 240  # letters of a text in a summary
TOKENS = ("input_tokens", "output_tokens", "cached_input_tokens", "cache_creation_tokens")


class JournalEntryView(View):
    """An entry of the journal."""

    id: str
    workspace_id: str
    at: datetime
    ts: str
    entry_type: str
    severity: Severity
    priority: Priority
    actor_type: JournalActor
    summary: str
    crew_id: str | None
    agent_id: str | None
    mission_id: str | None
    actor_id: str | None
    trace_id: str | None
    payload: dict[str, Any] | None
    refs: dict[str, Any] | None
    seen: str
    """The position in the order in which entries appear."""
    looked: bool
    """No entry: how far back it was looked for entries."""


graph(
    JournalEntryView,
    gate=Action.READ,
    scope="workspace:read",
    visible=EVERYONE,
    crew=one(Crew, "crew_id"),
    agent=one(Agent, "agent_id"),
    mission=one(Mission, "mission_id"),
    run=one(Run, "trace_id"),
)
TEXTS = (
    "id", "kind", "row_id", "place", "entry_type", "severity", "priority", "actor_type", "actor_id", "crew_id",
    "agent_id", "mission_id", "trace_id",
)  # fmt: skip
LINE: tuple[tuple[str, Any], ...] = (
    ("at", DateTime(timezone=True)),
    ("xid", BigInteger()),
    *[(name, SQLText()) for name in TEXTS],
)


ZERO: Any = constant("0", JSONB(), as_="jsonb")
ARROW: Final = " \N{RIGHTWARDS ARROW} "
"""Between the states of an issue, in the details of its activity."""


def as_text(value: str) -> Any:
    return constant(value, SQLText())


def joined(*parts: Any) -> Any:
    made: Any = func.concat(*[as_text(part) if isinstance(part, str) else part for part in parts], type_=SQLText())
    return made


def beginning(value: Any, most: int = SHOWN) -> Any:
    return func.left(value, constant(most), type_=SQLText())


def json(**values: Any) -> Any:
    """An object without the keys that are null."""
    parts = [part for name, value in values.items() for part in (as_text(name), value)]
    return func.jsonb_strip_nulls(func.jsonb_build_object(*parts), type_=JSONB())


def milliseconds(later: Any, earlier: Any) -> Any:
    return cast(func.extract("epoch", later - earlier) * constant(1000), BigInteger)


def call_of(
    provider: Any, model: Any, usage: dict[str, Any], cost: Any, counts: list[Any], ledger_id: Any = None, **more: Any
) -> Any:
    """A call of a model. `counts`: tokens in and out; `ledger_id`: its row in the ledger."""
    said = joined(provider, "/", model, ": ", counts[0], " in, ", counts[1], " out")
    refs = {} if ledger_id is None else {"ledger_id": ledger_id}
    payload = json(provider=provider, model=model, **usage, cost_usd=cost, **more, **refs)
    return said, payload, json(**refs) if refs else None


def cost_of(provider: Any, model: Any, cost: Any, ledger_id: Any = None) -> Any:
    """`cost` in US dollars; `ledger_id` as for a call."""
    refs = {} if ledger_id is None else {"ledger_id": ledger_id}
    payload = json(provider=provider, model=model, cost_usd=cost, **refs)
    return joined(provider, "/", model, ": $", cost), payload, json(**refs) if refs else None


class Details:
    """The rows behind the lines, by their kinds: a summary, a payload and refs of each."""

    def __init__(self, scope: QueryScope, line: Any) -> None:
        self.scope, self.line = scope, line

    def statement(self) -> Any:
        kinds = [
            *self.runs(), *self.calls(), self.messages(), self.audit(), *self.issues(), *self.assignments(),
            *self.peers(), *self.escalations(), self.entries(),
        ]  # fmt: skip
        # OFFSET keeps it apart: of the kinds that a line is not of nothing is looked up
        return union_all(*kinds).offset(constant(0)).lateral("d")

    def _of(self, kinds: str | tuple[str, ...], model: Any, made: Any) -> Any:
        """`made(row)`: summary, payload, refs."""
        row, own = self.scope.beside(model, self.scope, including_deleted=True)
        summary, payload, refs = made(row.c)
        named = (kinds,) if isinstance(kinds, str) else kinds
        is_kind = or_(*[self.line.c.kind == as_text(kind) for kind in named])
        columns = [summary.label("summary"), payload.label("payload"), (null() if refs is None else refs).label("refs")]
        return (
            select(*[cast(columns[0], SQLText), cast(columns[1], JSONB), cast(columns[2], JSONB)])
            .where(is_kind, row.c.id == self.line.c.row_id, *own)
            .correlate(self.line)
        )

    def _slug(self, agent_id: Any) -> Any:
        agent, own = self.scope.beside(Agent, self.scope, including_deleted=True)
        return select(agent.c.slug).where(agent.c.id == agent_id, *own).correlate(agent_id.table).scalar_subquery()

    def runs(self) -> list[Any]:
        def started(run: Any) -> Any:
            payload = json(trigger_type=run.trigger_type, chat_id=run.chat_id, metadata=run.data)
            return joined("run ", beginning(run.id, 8), " started"), payload, None

        def ended(run: Any) -> Any:
            payload = json(
                exit_code=run.exit_code, error_message=run.error_message, metadata=run.data,
                duration_ms=milliseconds(run.finished_at, run.began_at), cost_usd=run.data["total_cost_usd"],
            )  # fmt: skip
            return joined("run ", beginning(run.id, 8), " ", func.lower(run.status)), payload, None

        def model(run: Any) -> Any:
            return func.coalesce(run.model, run.data["model"].astext, as_text("unknown"))

        def provider(run: Any) -> Any:
            return func.coalesce(
                run.data["provider"].astext, func.lower(run.data["cli_adapter"].astext), as_text("unknown")
            )

        def called(run: Any) -> Any:
            usage = {
                name: func.coalesce(run.data[("usage", key)], ZERO)
                for name, key in (
                    ("input_tokens", "input_tokens"), ("output_tokens", "output_tokens"),
                    ("cached_input_tokens", "cache_read_input_tokens"),
                    ("cache_creation_tokens", "cache_creation_input_tokens"),
                )
            }  # fmt: skip
            cost = func.coalesce(run.data["total_cost_usd"], ZERO)
            counts = [run.data[("usage", key)].astext for key in ("input_tokens", "output_tokens")]
            return call_of(provider(run), model(run), usage, cost, counts)

        def paid(run: Any) -> Any:
            return cost_of(provider(run), model(run), run.data["total_cost_usd"])

        return [
            self._of(kind, Run, made) for kind, made in (("rs", started), ("re", ended), ("lc", called), ("ci", paid))
        ]

    def calls(self) -> list[Any]:
        def dollars(call: Any) -> Any:
            return func.trim_scale(cast(call.cost_micros, Numeric) / constant(1000000), type_=Numeric())

        def called(call: Any) -> Any:
            usage = {name: getattr(call, name) for name in TOKENS}
            cost = func.coalesce(dollars(call), constant(0))
            counts = [call.input_tokens, call.output_tokens]
            confidence = case((call.estimated, as_text("estimate")), else_=as_text("precise"))
            more = {"cost_confidence": confidence, "billing_mode": call.billing_mode}
            return call_of(call.provider, call.model, usage, cost, counts, call.id, **more)

        def paid(call: Any) -> Any:
            return cost_of(call.provider, call.model, dollars(call), call.id)

        return [self._of("mc", ModelCall, called), self._of("mp", ModelCall, paid)]

    def messages(self) -> Any:
        def said(message: Any) -> Any:
            slug = self._slug(message.agent_id)
            is_user = message.role == as_text("user")
            truncated = case((is_user, null()), else_=constant(False))
            payload = json(
                chat_id=message.chat_id, agent_slug=slug, content=message.content, truncated=truncated,
                length_chars=func.char_length(message.content),
            )  # fmt: skip
            summary = case(
                (is_user, joined("user → ", slug, ": ", beginning(message.content))),
                else_=joined(slug, ": ", beginning(message.content)),
            )
            return summary, payload, json(chat_id=message.chat_id)

        return self._of(("mu", "ma"), Message, said)

    def audit(self) -> Any:
        def told(audit: Any) -> Any:
            data = func.nullif(audit.data, constant({}), type_=JSONB())
            metadata = case((shows_data(self.scope, audit), data), else_=null())
            about = {"entity_type": audit.entity_type, "entity_id": audit.entity_id}
            known = func.coalesce(func.audit_name(metadata), beginning(audit.entity_id, 12))
            summary = func.concat_ws(as_text(": "), func.audit_said(audit.action, audit.entity_type), known)
            return summary, json(action=audit.action, **about, metadata=metadata), json(**about)

        return self._of("ad", AuditLog, told)

    def issues(self) -> list[Any]:
        def changed(activity: Any) -> Any:
            moved = case((activity.action == as_text("status_changed"), activity.details), else_=null())
            ends = func.replace(moved, as_text(" -> "), as_text(ARROW), type_=SQLText())
            before, after = (func.split_part(ends, as_text(ARROW), constant(part), type_=SQLText()) for part in (1, 2))
            after = func.split_part(after, as_text(" "), constant(1), type_=SQLText())  # without a remark behind it
            payload = json(action=activity.action, details=activity.details, **{"from": before, "to": after})
            refs = json(mission_id=activity.mission_id, activity_id=activity.id)
            return joined(activity.action, ": ", func.coalesce(activity.details, as_text(""))), payload, refs

        def commented(comment: Any) -> Any:
            author, own = self.scope.beside(Agent, self.scope, including_deleted=True)
            name = select(author.c.name).where(author.c.id == comment.author_id, *own)
            payload = json(
                comment_id=comment.id, mission_id=comment.mission_id, body=comment.body,
                author_name=name.correlate(comment.author_id.table).scalar_subquery(),
            )  # fmt: skip
            return beginning(comment.body), payload, json(comment_id=comment.id, mission_id=comment.mission_id)

        return [self._of("ia", IssueActivity, changed), self._of("ic", IssueComment, commented)]

    def assignments(self) -> list[Any]:
        def about(row: Any, **more: Any) -> Any:
            refs = json(assignment_id=row.id, chat_id=row.chat_id)
            target = {"target_slug": self._slug(row.assigned_to_id), "target_id": row.assigned_to_id}
            return json(assignment_id=row.id, chat_id=row.chat_id, **target, **more), refs

        def created(row: Any) -> Any:
            return joined("assigned to ", self._slug(row.assigned_to_id), ": ", beginning(row.task)), *about(
                row, task=row.task
            )

        def running(row: Any) -> Any:
            return joined(self._slug(row.assigned_to_id), " works on: ", beginning(row.task)), *about(
                row, started_at=row.started_at
            )

        def ended(row: Any) -> Any:
            more = {
                "result_summary": row.result_summary, "error_message": row.error_message,
                "duration_ms": milliseconds(row.finished_at, row.started_at),
            }  # fmt: skip
            return joined(
                self._slug(row.assigned_to_id), " ", func.lower(row.status), ": ", beginning(row.task)
            ), *about(row, **more)

        return [self._of(kind, Assignment, made) for kind, made in (("ac", created), ("ar", running), ("ae", ended))]

    def peers(self) -> list[Any]:
        def about(row: Any, kind: str, **more: Any) -> Any:
            ends = {"from_slug": self._slug(row.from_agent_id), "target_slug": self._slug(row.to_agent_id)}
            refs = json(peer_conversation_id=row.id, chat_id=row.chat_id)
            return json(message_type=as_text(kind), **ends, state=row.status, thread_id=row.id, **more), refs

        def asked(row: Any) -> Any:
            summary = joined(
                self._slug(row.from_agent_id), " asks ", self._slug(row.to_agent_id), ": ", beginning(row.question)
            )
            return summary, *about(row, "question", question=row.question)

        def answered(row: Any) -> Any:
            said = beginning(func.coalesce(row.response, row.error_message, as_text("")))
            summary = joined(self._slug(row.to_agent_id), " answers ", self._slug(row.from_agent_id), ": ", said)
            more = {"response": row.response, "error": row.error_message, "duration_ms": row.duration_ms}
            return summary, *about(row, "answer", **more)

        return [self._of("pq", PeerConversation, asked), self._of("pa", PeerConversation, answered)]

    def escalations(self) -> list[Any]:
        def about(row: Any, state: Any) -> Any:
            refs = json(escalation_id=row.id, chat_id=row.chat_id)
            said = {"reason": row.reason, "context": row.context, "metadata": row.data}
            return json(state=state, escalation_type=row.type, from_slug=self._slug(row.from_agent_id), **said), refs

        def opened(row: Any) -> Any:
            return joined(self._slug(row.from_agent_id), " asks for a decision: ", beginning(row.reason)), *about(
                row, as_text("pending")
            )

        def ended(row: Any) -> Any:
            answered = row.status == as_text("RESOLVED")
            submitted = and_(row.type == as_text("CREDENTIAL"), answered)
            shown = case((submitted, as_text(HANDED_OVER)), else_=row.resolution)
            state = func.lower(row.status, type_=SQLText())
            details, refs = about(row, state)
            more = json(
                resolution=shown,
                action=case((answered, row.action), else_=null()),
                redirect_to=row.redirect_to,
                agent_outcome=case((answered, null()), else_=as_text("continued_with_warning")),
            )
            said = joined(state, case((answered, joined(" (", row.action, ")")), else_=as_text("")))
            return joined(said, ": ", beginning(row.reason)), details.op("||")(more), refs

        return [self._of("eo", Escalation, opened), self._of("er", Escalation, ended)]

    def entries(self) -> Any:
        return self._of("je", JournalEntry, lambda entry: (entry.summary, entry.payload, entry.refs))


def entries_of(scope: QueryScope, lines: Any) -> Any:
    """The statement of a JournalEntryView over lines that a function of the journal finds."""
    line = lines.table_valued(*[column(name, type_) for name, type_ in LINE], name="line")
    details = Details(scope, line).statement()
    own = line.c
    shown = func.to_char(
        func.timezone(as_text("UTC"), own.at), as_text('YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'), type_=SQLText()
    )
    seen = func.journal_place(own.xid, own.id, type_=SQLText())
    plain = [
        own[name] for name in ("entry_type", "severity", "priority", "actor_type", "crew_id", "agent_id", "mission_id")
    ]
    columns = [
        own.id, own.place.label("workspace_id"), own.at, shown.label("ts"), *plain, own.actor_id, own.trace_id,
        func.coalesce(details.c[0], own.entry_type, type_=SQLText()).label("summary"),
        details.c[1].label("payload"), details.c[2].label("refs"), seen.label("seen"),
        (own.kind == as_text("")).label("looked"),
    ]  # fmt: skip
    return select(*columns).select_from(line.outerjoin(details, true()))
