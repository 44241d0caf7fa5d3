"""Recent questions of a crew's agents to each other and to people, as a text (contract: crews.standup)."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final

from pydantic import BeforeValidator
from pydantic_core import PydanticCustomError
from sqlalchemy import func, or_, select

from models.bounds import cut
from models.staff.agents import Agent
from models.staff.assignments import Escalation, EscalationStatus, PeerConversation
from models.staff.crews import Crew
from resolvers.kernel import ENDS, Action, Context, Id, Input, Output, Subject, procedure

CREW: Final = Subject(Crew, "crew_id")
PERIOD: Final = timedelta(hours=24)
MOST_ASKED: Final = 200
LONGEST: Final = 200
"""The length of a question or an answer in characters."""


def _time(raw: Any) -> Any:
    if not isinstance(raw, str):
        return raw
    try:
        found = datetime.fromisoformat(raw)
        if found.tzinfo is None:
            raise ValueError
        return found.astimezone(UTC)
    except (ValueError, OverflowError):
        raise PydanticCustomError("time", "must be a time such as 2030-01-31T12:00:00Z") from None


class GetStandup(Input):
    """`since` is 24 hours ago by default."""

    crew_id: Id
    since: Annotated[datetime | None, BeforeValidator(_time), ENDS] = None


class Standup(Output):
    """A readable summary, and the start of the period that it covers."""

    standup: str
    crew_id: str
    since: datetime


@procedure("crews.standup", Action.READ, subject=CREW)
async def get_standup(ctx: Context, crew: Crew, data: GetStandup) -> Standup:
    """Get the standup of a crew.

    Returns questions between agents and escalations to users, oldest first: the newest 200 of the period.
    """
    since = (data.since or await ctx.now() - PERIOD).astimezone(UTC).replace(microsecond=0)
    agents = ctx.table(Agent, including_deleted=True).c
    known = {row[0] for row in await ctx.report(select(agents.id).where(agents.crew_id == crew.id))}
    rows = ctx.table(PeerConversation).c
    asks, answers = ctx.table(Agent, including_deleted=True), ctx.table(Agent, including_deleted=True)
    told = select(*rows, asks.c.name.label("asks"), answers.c.name.label("answers"))
    told = told.join(asks, asks.c.id == rows.from_agent_id).join(answers, answers.c.id == rows.to_agent_id)
    ends = or_(rows.from_agent_id.in_(known), rows.to_agent_id.in_(known))
    chosen = told.where(ends, rows.created_at >= since).order_by(rows.created_at.desc(), rows.id.desc())
    questions = list(reversed(await ctx.report(chosen.limit(MOST_ASKED)))) if known else []
    raised = ctx.table(Escalation).c
    counted = select(raised.status, func.count()).where(raised.crew_id == crew.id, raised.created_at >= since)
    escalations = {row[0]: row[1] for row in await ctx.report(counted.group_by(raised.status))}
    return Standup(standup=_text(questions, escalations), crew_id=crew.id, since=since)


def _text(questions: list[Any], escalations: dict[str, int]) -> str:
    lines = ["[CREW STANDUP]"]
    lines.append(f"Peer interactions ({len(questions)}):" if questions else "No peer interactions in this period.")
    for number, row in enumerate(questions, 1):
        lines += ["", f'{number}. {row["asks"]} -> {row["answers"]}: "{cut(row["question"], LONGEST)}"']
        if row["response"]:
            lines.append(f'   -> "{cut(row["response"], LONGEST)}"')
        mark = " [escalated]" if row["escalated"] else ""
        lines.append(f"   ({row['created_at'].astimezone(UTC):%H:%M}){mark}")
    total = sum(escalations.values())
    if total:
        pending = escalations.get(EscalationStatus.PENDING, 0)
        lines += ["", f"Escalations ({total}): {pending} pending, {total - pending} resolved"]
    summary = f"Summary: {len(questions)} queries" + (f", {total} escalations" if total else "")
    return "\n".join([*lines, "", "", summary, "[END CREW STANDUP]"])
