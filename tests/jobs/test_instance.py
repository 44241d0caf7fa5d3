"""A job of the instance: of no workspace, in sight of no tenant's row, and tried again as others are."""

from collections import Counter

import pytest

from models.base import new_id
from models.kernel import InstanceFact
from models.work.labels import Label
from resolvers.kernel.declarations.jobs import JOBS, job
from resolvers.kernel.writing.context import Context
from runtime.engine.background import CARRIED, Carried, Work
from tests.jobs.test_jobs import Working
from tests.jobs.yard import NAMED, Of, Yard

pytestmark = pytest.mark.anyio


@pytest.mark.slow
async def test_a_job_of_the_instance(yard: Yard, working: Working, monkeypatch: pytest.MonkeyPatch) -> None:
    kind = job("tests.of_instance", Of, of_instance=True, attempts=3)
    seen = list[tuple[str, str | None, int]]()

    async def look(ctx: Context) -> None:
        scope = (await ctx._send("SELECT current_setting('crewship.workspaces')", []))[0]
        seen.append((scope, ctx.workspace_id, len(await ctx.select(Label).all())))
        await ctx.insert(InstanceFact(name=f"seen.{new_id()}", value="x"))

    async def body(work: Work, data: Of) -> None:
        await work.write("look", look)
        if work.attempt == 1:
            raise ValueError("once more")

    await yard.estate.add(Label(name="of a tenant", color="red", workspace_id=yard.estate.workspace.id))
    try:
        monkeypatch.setitem(NAMED, kind.name, kind)
        await yard.enqueue(kind, "thing")
        async with working((*[c for c in CARRIED.values() if c.job.name == "tests.plain"], Carried(kind, body))):
            await yard.finished()
    finally:
        del JOBS[kind.name]
    assert seen == [("", None, 0)] * 2, "its steps have no marks: each attempt does them"
    assert await yard.statuses(kind) == Counter(SUCCESS=2)
    owner = yard.estate.owner
    assert await owner.fetchval("SELECT count(*) FROM instance_facts WHERE name LIKE 'seen.%'") == 2
    assert await owner.fetchval("SELECT count(*) FROM job_steps") == 0
