"""Routines of a workspace, versions of one, and runs: as many rows as of every other list."""

from collections.abc import Awaitable, Callable, Mapping

CREW = "ccrew000000000000000000001"
ROUTINE = "routine-7"
"""The slug of the routine that versions and runs are of."""
PIPELINES = "/api/v1/workspaces/{workspace}/pipelines"
ROUTINES = {
    "routines": PIPELINES,
    "routines: of a crew": f"{PIPELINES}?author_crew_id={CREW}",
    "routines: proposed": f"{PIPELINES}?status=proposed",
    "routines: with a tag": f"{PIPELINES}?tag=rare",
    "routines: last invoked first": f"{PIPELINES}?order=recent",
}
"""Lists that are read as a whole: what a read is called, and its path."""
RUNS = "/api/v1/workspaces/{workspace}/pipeline-runs"
ROUTINE_PAGES = {
    "runs of a routine": f"{PIPELINES}/{ROUTINE}/run-records?limit=20",
    "runs of a routine: failed": f"{PIPELINES}/{ROUTINE}/run-records?limit=20&status=failed&tag=rare",
    "versions of a routine": f"{PIPELINES}/{ROUTINE}/versions?limit=20",
    "schedules of routines": "/api/v1/workspaces/{workspace}/pipeline-schedules?limit=20",
    "webhooks of routines": "/api/v1/workspaces/{workspace}/pipeline-webhooks?limit=20",
    "runs of routines": f"{RUNS}?limit=20",
    "runs of routines: failed": f"{RUNS}?limit=20&status=failed",
    "runs of routines: since": f"{RUNS}?limit=20&since=2024-01-01T00:00:00Z",
}


async def fill_routines(
    fill: Callable[..., Awaitable[None]], first: int, last: int, number: str, rare: str, times: Mapping[str, str]
) -> None:
    """`number` and `rare` are SQL over the number of a row, `i`."""
    named = {"slug": "'routine-' || i", "name": "'Routine ' || i", "definition_hash": "'0'", "manifest": "'{}'"}
    tags = f"CASE WHEN {rare} THEN '[\"rare\"]'::jsonb ELSE '[]'::jsonb END"
    status = f"CASE WHEN {rare} THEN 'proposed' ELSE 'active' END"
    more = {"author_crew_id": f"'{CREW}'", "status": status, "tags": tags, "authored_via": "'user_api'"}
    await fill("routines", first, last, id=f"'croutn' || {number}", **named, **more, **times)
    of_one = {"routine_id": "'croutn' || lpad('7', 20, '0')", "definition_hash": "i::text"}
    told = {"number": "i", "source": "'{}'", "definition": "'{}'", "author_type": "'user'", "author_id": "'a'"}
    await fill("routine_versions", first, last, id=f"'crtver' || {number}", **of_one, **told, **times)
    ended = {"status": f"CASE WHEN {rare} THEN 'failed' ELSE 'completed' END", "triggered_via": "'manual'"}
    await fill("routine_runs", first, last, id=f"'run_' || {number}", **of_one, **ended, **times)
    routine = {"routine_id": of_one["routine_id"], "name": "'Trigger ' || i"}
    await fill("routine_schedules", first, last, id=f"'psched_' || {number}", **routine, **times)
    await fill("routine_webhooks", first, last, id=f"'pwh_' || {number}", token_hash="i::text", **routine, **times)
