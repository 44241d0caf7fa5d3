"""Runs that answer a question of another agent: the answer is stored with the question."""

from datetime import timedelta
from typing import Final

from sqlmodel import col

from models.bounds import CONFIG, ERROR, cut
from models.staff.assignments import PEER_CONVERSATION_STATES, PeerConversation, PeerConversationStatus
from models.staff.runs import Run, RunStatus
from resolvers.kernel import Context, Id, Input, job

TRIGGER: Final = "PEER_QUERY"
"""A run that answers has the id of the question."""
NO_ANSWER: Final = "The agent did not answer"
MILLISECOND: Final = timedelta(milliseconds=1)


class OfQuestion(Input):
    question_id: Id


QUESTION_ENDED = job("questions.ended", OfQuestion, unique="{question_id}")
"""Reports the end of a question to the run that asked it."""


async def end_question(ctx: Context, run: Run, reply: str | None) -> None:
    """With the run's own end."""
    if run.trigger_type != TRIGGER:
        return
    asked = await ctx.select(PeerConversation, col(PeerConversation.id) == run.id, including_hidden=True).first()
    if asked is None or asked.status is not PeerConversationStatus.RUNNING or run.finished_at is None:
        return
    done = run.status is RunStatus.COMPLETED
    await ctx.move(
        PEER_CONVERSATION_STATES,
        asked.id,
        PeerConversationStatus.COMPLETED if done else PeerConversationStatus.FAILED,
        response=cut(reply or "", CONFIG) if done else None,
        error_message=None if done else cut(run.error_message or NO_ANSWER, ERROR),
        duration_ms=max((run.finished_at - asked.created_at) // MILLISECOND, 0),
    )
    ctx.enqueue(QUESTION_ENDED, question_id=asked.id)
