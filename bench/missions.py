"""Missions: tasks a second with one and with two workers, and what a task costs beyond its adapter:
`python -m bench.missions`.

The shipped service with the scripted adapter, which repeats what it is told: its own time is next to none. A task is a
job that looks at the mission, an assignment, a run of four durable steps, its end, and the job that follows from that.
"""

import asyncio
import os
import sys
import time
from typing import Any

import asyncpg

from bench import environment, product
from bench.cases import Target
from bench.compare import markdown
from bench.load import Server
from bench.rig import seeded
from bench.runs import _json, served

CREWS, MISSIONS, TASKS = 2, 4, 20
ENDED = "SELECT count(*) FROM missions WHERE id = ANY ($1) AND status = 'REVIEW'"
# the start waits three seconds, by contract
SECONDS = """
SELECT extract(epoch FROM max(completed_at) - min(started_at))::float8 FROM mission_tasks WHERE mission_id = ANY ($1)
"""


def _crews(server: Server, target: Target, count: int) -> list[tuple[str, list[str]]]:
    """Crews with a lead and two agents."""
    made = []
    for n in range(count):
        name = f"missions-{n}-{time.time_ns()}"
        at = f"?workspace_id={target.workspace}"
        crew = _json(server, target, "POST", f"/api/v1/crews{at}", {"name": name, "slug": name})["id"]
        agents = []
        for role in ("LEAD", "AGENT", "AGENT"):
            agent = {"name": role, "slug": f"a{time.time_ns()}", "crew_id": crew, "agent_role": role}
            agents.append(_json(server, target, "POST", f"/api/v1/agents{at}", agent)["id"])
        made.append((crew, agents))
    return made


def _planned(server: Server, target: Target, crew: str, agents: list[str], *, in_turn: bool) -> str:
    """A mission of tasks that depend on the one before, or on none."""
    at, before = f"/api/v1/crews/{crew}/missions", list[str]()
    mission = _json(server, target, "POST", f"{at}?workspace_id={target.workspace}", _named("Sail", agents[0]))["id"]
    for n in range(TASKS):
        task = {"title": f"Task {n}", "task_order": n, "assigned_agent_id": agents[1 + n % 2]}
        if in_turn and before:
            task["depends_on"] = before
        path = f"{at}/{mission}/tasks?workspace_id={target.workspace}"
        before = [_json(server, target, "POST", path, task)["id"]]
    return str(mission)


def _named(title: str, lead: str) -> dict[str, Any]:
    return {"title": title, "lead_agent_id": lead}


async def _seconds(server: Server, target: Target, url: str, begun: list[tuple[str, str]]) -> float:
    """From the first task's begin to the last one's end."""
    for crew, mission in begun:
        path = f"/api/v1/crews/{crew}/missions/{mission}/start?workspace_id={target.workspace}"
        await asyncio.to_thread(_json, server, target, "POST", path)
    conn = await asyncpg.connect(url, server_settings={"crewship.workspaces": "*"})
    try:
        ids, deadline = [mission for _, mission in begun], time.monotonic() + 240
        while await conn.fetchval(ENDED, ids) < len(ids):
            if time.monotonic() > deadline:
                raise SystemExit("the missions do not end")
            await asyncio.sleep(0.1)
        return float(await conn.fetchval(SECONDS, ids))
    finally:
        await conn.close()


def measure(cluster: Any, target: Target, workers: int) -> tuple[float, float]:
    """Tasks a second of many missions at once, and milliseconds a task of one that has them one after the other."""
    with served(cluster, "api", *["worker"] * workers) as (servers, url):
        server = servers[0]
        crews = _crews(server, target, CREWS)
        warm = [(crew, _planned(server, target, crew, agents, in_turn=False)) for crew, agents in crews[:1]]
        asyncio.run(_seconds(server, target, url, warm))
        crew, agents = crews[0]
        alone = asyncio.run(
            _seconds(server, target, url, [(crew, _planned(server, target, crew, agents, in_turn=True))])
        )
        many = [
            (crew, _planned(server, target, crew, agents, in_turn=False))
            for crew, agents in crews
            for _ in range(MISSIONS // CREWS)
        ]
        took = asyncio.run(_seconds(server, target, url, many))
    made = len(many) * TASKS / took, alone / TASKS * 1000
    print(f"{workers} at work: {made[0]:.1f} tasks a second, {made[1]:.0f} ms each", file=sys.stderr, flush=True)
    return made


def table(found: dict[int, tuple[float, float]]) -> str:
    base = found[1][0]
    rows = [
        (str(workers), f"{tasks:.0f}", f"{tasks / base:.2f}", f"{alone:.0f}")
        for workers, (tasks, alone) in found.items()
    ]
    return markdown(("workers", "tasks a second", "x", "ms a task beyond its adapter"), rows)


def main() -> None:
    environment.prepare(fastapi=False, peers=False)
    with seeded({product.DATABASE}) as (cluster, targets):
        found = {workers: measure(cluster, targets[0], workers) for workers in (1, 2)}
    print(table(found), f"\nload {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
