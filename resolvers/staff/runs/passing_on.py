"""The word in a group of agents: whose turn it is once a run has ended."""

from typing import Any, Final

from models.staff.chats import Chat, ChatVisibility
from models.staff.runs import BY_USER, Run, RunStatus
from resolvers.kernel import Context, Id, Input, job
from resolvers.staff.runs.events import RUN_STARTS

TURNS: Final = "group_turns"
"""In the data of a run: `number` among the runs that one message of a user has led to, and `next`, agents that it has
mentioned and that have not answered yet.
"""


class RunToPassOn(Input):
    run_id: Id


PASS_ON = job("chats.pass_on", RunToPassOn, unique="{run_id}", emits=RUN_STARTS)
"""Another agent may have been asked, by the message or by the reply."""


def turns_of(run: Run) -> tuple[int, list[str]]:
    """The number of the run's turn, and the agents that follow."""
    turns: Any = (run.data or {}).get(TURNS)
    return (turns["number"], list(turns["next"])) if isinstance(turns, dict) else (1, [])


def pass_on(ctx: Context, chat: Chat, run: Run, reply: str | None) -> None:
    """Behind the end of a run. One that was cancelled ends the turns of all."""
    if chat.visibility != ChatVisibility.group or run.trigger_type != BY_USER or run.status == RunStatus.CANCELLED:
        return
    if turns_of(run)[1] or "@" in (reply or ""):
        ctx.enqueue(PASS_ON, run_id=run.id)
