"""Reads of runs."""

from collections.abc import Callable
from typing import Any, ClassVar

from sqlalchemy import and_, func, select
from sqlmodel import col

from models.base import table_of
from models.people.workspaces import Workspace
from models.staff.agents import Agent
from models.staff.chats import Chat
from models.staff.crews import Crew
from models.staff.runs import Run, RunFrame, RunStatus, RunTag
from resolvers.kernel import (
    EVERYONE,
    GRAPHQL_ONLY,
    Action,
    ById,
    Code,
    Id,
    NoInput,
    Numbered,
    Page,
    QueryScope,
    Row,
    Rows,
    Text,
    View,
    constant,
    derived,
    extend,
    graph,
    many,
    named,
    one,
    query,
    sums_up,
)
from resolvers.kernel.ground.constants import MIDNIGHT
from resolvers.staff.runs.lifecycle import MISSING
from resolvers.staff.runs.session import SESSION_KEYS

newest_first = (col(Run.began_at).desc(), col(Run.id).desc())
# spelled out, as the next: the indexes of these runs are partial ones
RUNNING: Any = constant(RunStatus.RUNNING)
GONE_WRONG: Any = [constant(status) for status in (RunStatus.FAILED, RunStatus.TIMEOUT)]


class ListRuns(Numbered):
    """A page of runs, by `page` or by offset. `status`, `agent_id` and `trigger` match exactly.

    `tag` matches one of the tags in the metadata.
    """

    cut_to_default: ClassVar[bool] = True  # contract: runs.list

    status: RunStatus | None = None
    agent_id: Id | None = None
    trigger: Text | None = None
    tag: Text | None = None


class RunStats(View):
    """Runs of the workspace: not ended, started since midnight UTC, and FAILED or TIMEOUT since midnight UTC."""

    running: int
    today: int
    failed: int


class RunInput(View):
    """The input of a run, for callers who may read chats."""

    prompt: str


def narrowed(rows: Rows[Run], data: ListRuns) -> Rows[Run]:
    if data.status is not None:
        rows = rows.where(col(Run.status) == data.status.value)
    if data.agent_id is not None:
        rows = rows.where(col(Run.agent_id) == data.agent_id)
    if data.trigger is not None:
        rows = rows.where(col(Run.trigger_type) == data.trigger)
    if data.tag is not None:
        rows = _tagged(rows, data.tag)
    return rows


def _tagged(rows: Rows[Run], tag: Any) -> Rows[Run]:
    tags, run = table_of(RunTag).alias(), table_of(Run)
    return rows.along(
        tags.c.workspace_id == run.c.workspace_id,
        tags.c.run_id == run.c.id,
        tags.c.tag == tag,
        began_at=tags.c.began_at,
        id=tags.c.run_id,
    )


def _crew_name(run: Any, scope: Any) -> Any:
    agent, agents = scope.beside(Agent, run, including_deleted=True)
    crew, crews = scope.beside(Crew, agent.c, including_deleted=True)
    joined = agent.join(crew, and_(crew.c.id == agent.c.crew_id, *crews))
    return scope.scalar(select(crew.c.name).select_from(joined).where(agent.c.id == run.agent_id, *agents))


def _input(run: Any, scope: Any) -> Any:
    same, own = scope.beside(Run, run)
    return select(same.c.prompt).where(same.c.id == run.id, *own)


def _from_seq(run: Any, scope: Any) -> Any:
    frame, frames = scope.beside(RunFrame, run)
    return scope.scalar(select(func.min(frame.c.seq) - 1).where(frame.c.run_id == run.id, *frames))


graph(RunInput, gate=Action.READ, scope="chats:read", visible=EVERYONE)  # it may be a message of a chat
graph(
    Run,
    gate=Action.READ,
    scope="runs:read",
    visible=EVERYONE,
    agent=one(Agent, "agent_id"),
    chat=one(Chat, "chat_id"),
    **named("agent", Agent, "agent_id"),
    crew_name=derived(str | None, _crew_name),
    from_seq=derived(int | None, _from_seq),
    input=sums_up(RunInput, _input),
    **SESSION_KEYS,
)
for owner, key in ((Workspace, "workspace_id"), (Agent, "agent_id"), (Chat, "chat_id")):
    extend(owner, runs=many(Run, key, order_by=newest_first, narrow=narrowed, input=ListRuns))


@query("runs.list", Action.READ)
def list_runs(scope: QueryScope, data: ListRuns) -> Page[Run]:
    """List runs.

    Lists the workspace's runs, newest first.
    """
    return narrowed(scope.select(Run), data).order_by(*newest_first).page(data)


@query("runs.stats", Action.READ, surfaces=GRAPHQL_ONLY)
def run_stats(scope: QueryScope, data: NoInput) -> Row[RunStats]:
    """Get run counters.

    Covers the runs of the workspace.
    """

    def number(name: str, *conditions: Callable[[Any], Any]) -> Any:
        runs = scope.table(Run)
        return scope.scalar(
            select(func.count()).select_from(runs).where(*[condition(runs.c) for condition in conditions])
        ).label(name)

    counted = select(
        number("running", lambda run: run.status == RUNNING),
        number("today", lambda run: run.began_at >= MIDNIGHT),
        number("failed", lambda run: run.status.in_(GONE_WRONG), lambda run: run.finished_at >= MIDNIGHT),
    )
    return scope.view(RunStats, counted).one("Workspace not found")


@query("runs.get", Action.READ, errors=(Code.NOT_FOUND,))
def get_run(scope: QueryScope, data: ById) -> Row[Run]:
    """Get a run."""
    return scope.select(Run).where(col(Run.id) == data.id).one(MISSING)
