"""The log of an agent: what its adapter has put out, run after run."""

from typing import Any

from sqlalchemy import Text as SQLText
from sqlalchemy import literal_column, select
from sqlmodel import col

from models.agents import Agent
from models.base import table_of
from models.runs import ChatEventType, Run, RunFrame
from resolvers.agents.permission import MISSING
from resolvers.kernel.errors import Code
from resolvers.kernel.inputs import Id, Paging
from resolvers.kernel.policy import Action
from resolvers.kernel.query import QueryScope, query
from resolvers.kernel.reader import Derived, Page, derived, graph

OUTPUT = (
    ChatEventType.status, ChatEventType.text, ChatEventType.thinking, ChatEventType.tool_call, ChatEventType.tool_result, ChatEventType.image,
    ChatEventType.system, ChatEventType.result, ChatEventType.error,
)  # fmt: skip
"""What adapters put out (contract: chats.behaviour 14): neither the user's words nor the marks of a turn's begin and end."""


class ListLogs(Paging):
    """A page of one agent's log: 100 entries unless told otherwise, at most 500."""

    page_default = 100
    page_maximum = 500

    agent_id: Id


def _said(*path: str) -> Derived:
    return derived(str, lambda frame, _: frame.payload[path].astext)


def _slug(frame: Any, scope: Any) -> Any:
    run, agent = table_of(Run).alias(), table_of(Agent).alias()
    joined = run.join(agent, (agent.c.id == run.c.agent_id) & (agent.c.workspace_id == run.c.workspace_id))
    return scope.scalar(select(agent.c.slug).select_from(joined).where(run.c.id == frame.run_id, run.c.workspace_id == frame.workspace_id))


graph(
    RunFrame,
    level=derived(str, lambda *_: literal_column("'info'", SQLText())),
    agent_slug=derived(str, _slug),
    event=_said("type"),
    content=_said("content"),
    tool=_said("metadata", "tool_name"),
    event_metadata=derived(dict[str, Any], lambda frame, _: frame.payload["metadata"]),
)


@query("agents.logs", Action.READ, errors=(Code.NOT_FOUND,))
def list_logs(scope: QueryScope, data: ListLogs) -> Page[RunFrame]:
    """What an agent has put out in its runs, oldest first."""
    runs = scope.table(Run)
    of_agent = col(RunFrame.run_id).in_(select(runs.c.id).where(runs.c.agent_id == data.agent_id))
    put_out = col(RunFrame.payload)["type"].astext.in_([event.value for event in OUTPUT])
    entries = scope.select(RunFrame).where(of_agent, col(RunFrame.type) == "chat_event", put_out).order_by(col(RunFrame.created_at))
    return entries.under(scope.select(Agent).where(col(Agent.id) == data.agent_id).one(MISSING)).page(data)
