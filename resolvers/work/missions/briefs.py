"""The text that an agent gets with its task (contract: missions.behaviour.scheduling)."""

from sqlmodel import col

from models.work.issues import IssueComment
from models.work.missions import Mission, MissionTask, TaskStatus
from resolvers.kernel import Context

MOST_COMMENTS, LONGEST_COMMENT = 30, 500
LONGEST_OUTPUT, LONGEST_BRIEF = 4000, 32_000
FORMAT = "Answer with what you did and the result: the agents of the dependent tasks read it."


async def brief_of(ctx: Context, mission: Mission, task: MissionTask, tasks: list[MissionTask]) -> str:
    """The goal, the tasks and their states, what came of those before this one, comments, and the task itself."""
    parts = [f"# {mission.identifier or 'Mission'}: {mission.title}"]
    if mission.description:
        parts.append(mission.description)
    if len(tasks) > 1:
        parts.append("## Tasks\n" + "\n".join(f"- {each.title}: {each.status}" for each in tasks))
    for each in tasks:
        if each.id in task.depends_on and each.status is TaskStatus.COMPLETED:
            parts.append(
                f"## What came of: {each.title}\n"
                + (each.handoff_context or each.result_summary or "")[:LONGEST_OUTPUT]
            )
    newest = (
        await ctx.select(IssueComment, col(IssueComment.mission_id) == mission.id)
        .order_by(col(IssueComment.created_at).desc(), col(IssueComment.id).desc())
        .limit(MOST_COMMENTS)
        .all()
    )
    if newest:
        parts.append("## Comments\n" + "\n".join(f"- {comment.body[:LONGEST_COMMENT]}" for comment in reversed(newest)))
    tries = f" (attempt {task.iteration})" if (task.iteration or 1) > 1 else ""
    parts.append(f"## Your task{tries}: {task.title}\n{task.description or ''}".rstrip())
    text = "\n\n".join(parts)
    return f"{text[: LONGEST_BRIEF - len(FORMAT) - 2]}\n\n{FORMAT}"


def planning_of(mission: Mission) -> str:
    """The text for the lead of a mission without tasks."""
    goal = f"\n\n{mission.description}" if mission.description else ""
    text = f"[PLANNING] {mission.title}{goal}"[:LONGEST_BRIEF]
    return (
        f"{text}\n\nThis work is not divided into tasks yet."
        f" Do what is small enough yourself, and have agents of your crew do the rest. {FORMAT}"
    )
