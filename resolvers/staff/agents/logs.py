"""The log of an agent: the output of its adapter, run after run."""

from typing import Any

from sqlalchemy import Text as SQLText
from sqlmodel import col

from models.staff.agents import Agent
from models.staff.runs import ChatEventType, Run, RunFrame
from resolvers.kernel import (
    EVERYONE,
    Action,
    Code,
    Id,
    Page,
    Paging,
    QueryScope,
    constant,
    derived,
    extend,
    graph,
    many,
    of_parent,
    query,
)
from resolvers.kernel.reader import Derived


class PageOfLog(Paging):
    """A page of a log: 100 entries by default, at most 500."""

    page_default = 100
    page_maximum = 500


class ListLogs(PageOfLog):
    """A page of the log of one agent: 100 entries by default, at most 500."""

    agent_id: Id


def _said(kind: Any, *path: str) -> Derived:
    return derived(kind, lambda frame, _: frame.payload[path].astext)


graph(
    RunFrame,
    gate=Action.READ,
    scope="agents:read",
    visible=EVERYONE,
    level=derived(str, lambda *_: constant("info", SQLText())),
    agent_slug=of_parent(Agent, "agent_id", "slug"),
    event=_said(ChatEventType, "type"),
    content=_said(str, "content"),
    tool=_said(str | None, "metadata", "tool_name"),
    event_metadata=derived(dict[str, Any] | None, lambda frame, _: frame.payload["metadata"]),
)


logged = (col(RunFrame.agent_id).is_not(None),)
extend(Run, log=many(RunFrame, "run_id", where=logged, order_by=(col(RunFrame.seq),), input=PageOfLog))


@query("agents.logs", Action.READ, errors=(Code.NOT_FOUND,))
def list_logs(scope: QueryScope, data: ListLogs) -> Page[RunFrame]:
    """List the log of an agent.

    Returns the agent's output in its runs, oldest first.
    """
    entries = (
        scope.select(RunFrame)
        .where(col(RunFrame.agent_id) == data.agent_id)
        .order_by(col(RunFrame.created_at), col(RunFrame.chat_id), col(RunFrame.seq))
    )
    return entries.under(scope.select(Agent).where(col(Agent.id) == data.agent_id).one("Agent not found")).page(data)
