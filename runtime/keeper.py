"""Commands that the keeper has allowed, where agents' commands run; and requests that nobody has decided."""

from functools import partial
from pathlib import Path

from resolvers.instance.ports import CommandOfAgent, NotRun, Ran
from resolvers.instance.settings import Settings
from resolvers.keeper.closing import CLOSE, LOOK, OfRequest, close, enqueue_overdue
from resolvers.keeper.consolidating import CONSOLIDATE, OfLearningCrew, enqueue_due, note, reviewed
from resolvers.keeper.consolidating import LOOK as MEMORY
from resolvers.keeper.reviewing_skills import LOOK as SKILLS
from resolvers.keeper.reviewing_skills import REVIEW, OfSkill, look_at_skills, review_daily
from runtime.background import Work, carries
from runtime.clocks import Tick, ticks
from runtime.containers.choice import Sandboxes
from runtime.containers.place import Apart
from runtime.job import Failed
from runtime.sandbox import Sandbox, Workdir

SHELL = "/bin/sh"
PATIENCE = 180.0
"""Seconds for a call of a model, and what is written of it."""


class SandboxedCommands:
    """In the folder of the agent, as its own commands are."""

    def __init__(self, settings: Settings, sandbox: Sandbox | None = None) -> None:
        self._settings, self._sandboxes = settings, Sandboxes(settings, sandbox)

    async def run(self, command: CommandOfAgent) -> Ran:
        try:
            crew_id = command.crew_id if command.agent_id else None
            sandbox = await self._sandboxes.of_crew(command.workspace_id, crew_id, Apart.alone)
            if not sandbox.runs_commands:
                raise NotRun("Commands are off on this server", unavailable=True)
            workdir = _workdir(self._settings.storage_path, command)
            ended = await sandbox.run(
                [SHELL, "-c", command.command],
                workdir=workdir,
                timeout=command.timeout,
                environment=command.environment,
            )
        except Failed as failed:
            raise NotRun(str(failed)) from None
        return Ran(ended.exit_code, ended.stdout + ended.stderr, ended.truncated)


def _workdir(storage: Path, command: CommandOfAgent) -> Workdir:
    if not command.agent_id and command.crew_id is not None:
        return Workdir.of_crew(
            storage, workspace_id=command.workspace_id, crew_id=command.crew_id, agent_slug=command.agent_slug
        )
    return Workdir.of(
        storage,
        workspace_id=command.workspace_id,
        agent_id=command.agent_id,
        agent_slug=command.agent_slug,
        crew_id=command.crew_id,
    )


@ticks(LOOK)
async def look(tick: Tick) -> None:
    await tick.write(enqueue_overdue)


@carries(CLOSE)
async def closed(work: Work, data: OfRequest) -> None:
    await work.write("close", lambda ctx: close(ctx, data.request_id))


@ticks(MEMORY)
async def look_at_memories(tick: Tick) -> None:
    while await tick.write(enqueue_due):
        pass


@ticks(SKILLS)
async def look_at_all_skills(tick: Tick) -> None:
    while await tick.write(look_at_skills):
        pass


@carries(REVIEW)
async def reviewed_skill(work: Work, data: OfSkill) -> None:
    asked = partial(review_daily, work.workspace_id, data.skill_id)
    await work.call("review", asked, timeout=PATIENCE)


@carries(CONSOLIDATE)
async def consolidated(work: Work, data: OfLearningCrew) -> None:
    """Card by card: each is a call of a model, and one that fails keeps no other from being written."""
    workspace_id = work.workspace_id
    peers = await work.call("review", lambda _: reviewed(workspace_id, data.crew_id), timeout=PATIENCE)
    for number, peer in enumerate(peers):
        noted = partial(note, workspace_id, peer)
        await work.call(f"card {number}", noted, timeout=PATIENCE)
