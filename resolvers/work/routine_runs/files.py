"""The folder of the crew of a run: what changed in it, by git, and by the times of its files."""

from datetime import UTC, datetime

from sqlmodel import col

from models.staff.crews import Crew
from models.work.routine_runs import RoutineRun
from resolvers.kernel import Action, ById, Context, Output, procedure
from resolvers.staff.crews.files import listed
from resolvers.staff.crews.git import GIT_ERRORS, GitDiff, GitDiffOf, git_diff
from resolvers.work.routine_runs.advancing import routine_of
from resolvers.work.routine_runs.graph import RUN

SCOPES = ("routines:read", "crews:read")


class RoutineRunFile(Output):
    """A file of the crew. `path` can be passed to the file operations of crews; `size` is in bytes."""

    path: str
    name: str
    size: int
    mod_time: datetime


class RoutineRunFiles(Output):
    """Files that changed while a run was under way. `crew_id` is empty for a run without a crew."""

    crew_id: str
    files: list[RoutineRunFile]


@procedure("routine_runs.changes", Action.READ, subject=RUN, scopes=SCOPES, errors=GIT_ERRORS, late=True)
async def get_routine_run_changes(ctx: Context, run: RoutineRun, data: ById) -> GitDiff:
    """Get the differences in the folder of the crew of a run.

    As they are now, of the crew that invoked the run, or else of the author crew; see the differences of crews. Without
    a crew or a repository `is_repo` is false.
    """
    crew = await _crew_of(ctx, run)
    return GitDiff(is_repo=False) if crew is None else await git_diff.within(ctx, crew, GitDiffOf(crew_id=crew.id))


@procedure("routine_runs.files", Action.READ, subject=RUN, scopes=SCOPES, late=True)
async def list_routine_run_files(ctx: Context, run: RoutineRun, data: ById) -> RoutineRunFiles:
    """List files that changed while a run was under way.

    Files of the crew that invoked the run, or else of the author crew, by the time of their last change, sorted by
    name. Of a folder with more than 10,000 entries, the first ones are looked at.
    """
    crew = await _crew_of(ctx, run)
    if crew is None:
        return RoutineRunFiles(crew_id="", files=[])
    first, last = run.started_at.replace(microsecond=0), run.ended_at or datetime.now(UTC)
    return RoutineRunFiles(
        crew_id=crew.id,
        files=[
            RoutineRunFile(path=file.path, name=file.name, size=file.size, mod_time=file.mod_time)
            for file in await listed(ctx, crew.id, (), recursive=True, beside=False)
            if not file.is_dir and first <= file.mod_time <= last
        ],
    )


async def _crew_of(ctx: Context, run: RoutineRun) -> Crew | None:
    """The crew that invoked the run, else the author crew."""
    crew_id = run.invoking_crew_id or (await routine_of(ctx, run)).author_crew_id
    return None if crew_id is None else await ctx.select(Crew, col(Crew.id) == crew_id).first()
