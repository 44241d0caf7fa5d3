"""Case M: a mission's board, twenty tasks with their agents, runs and costs, by one document: `python -m bench.board`.

All servers read the service's tables, each its own copy of the same rows. The others pass row-level security by, which
is in their favour; PostGraphile checks no token, either.
"""

import contextlib
import json
import os
import random
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from bench import environment, product
from bench.cases import Case, Request, Target, graphql, plain
from bench.compare import WARM_SECONDS, Results, table
from bench.environment import HERE, NODE, PEERS
from bench.implementations import Implementation, Service, _crewship, _uvicorn
from bench.load import Server
from bench.options import parse
from bench.postgres import ROLE, Cluster
from bench.rig import seeded

CASE = Case("M", "M", "GraphQL, a mission's board: 20 tasks, their agents, runs and 40 costs")
BASE, TEMPLATE, TASKS, CALLS = "floor-board", "bench_boards", 20, 2
DOCUMENT = (HERE / "board.graphql").read_text()

# A mission of each crew, with the crew's id behind its letter.
ROWS = f"""
INSERT INTO missions
    (id, workspace_id, crew_id, lead_agent_id, trace_id, title, status, total_estimated_cost, started_at, version,
    priority, sort_order, mission_type)
SELECT 'm' || c.id, c.workspace_id, c.id, min(a.id), 'board-' || c.id, 'Sail', 'IN_PROGRESS', 0.4, now(), 1,
    'none', 0, 'orchestration'
FROM crews c JOIN agents a ON a.crew_id = c.id GROUP BY c.id;
INSERT INTO assignments (id, workspace_id, chat_id, assigned_by_id, assigned_to_id, task, status)
SELECT 's' || n || m.id, m.workspace_id, m.id, m.lead_agent_id, m.lead_agent_id, 'Do it', 'COMPLETED'
FROM missions m, generate_series(1, {TASKS}) n;
INSERT INTO mission_tasks
    (id, workspace_id, mission_id, assigned_agent_id, assignment_id, title, status, task_order, token_count,
    estimated_cost, depends_on, approval_required, needs_review, iteration, version)
SELECT 't' || n || m.id, m.workspace_id, m.id, m.lead_agent_id, 's' || n || m.id, 'Task ' || n, 'COMPLETED', n, 200,
    0.02, CASE WHEN n = 1 THEN '[]' ELSE jsonb_build_array('t' || n - 1 || m.id) END, false, false, 1, 1
FROM missions m, generate_series(1, {TASKS}) n;
INSERT INTO runs
    (id, workspace_id, agent_id, assignment_id, status, model, started_at, finished_at, trigger_type, prompt, lease,
    frames, waited, parks)
SELECT 'r' || s.id, s.workspace_id, s.assigned_to_id, s.id, 'COMPLETED', 'm', now(), now(), 'ASSIGNMENT', 'Do it', 1, 0,
    0, 0
FROM assignments s;
INSERT INTO model_calls
    (id, workspace_id, run_id, step, agent_id, mission_id, provider, model, input_tokens, output_tokens,
    cached_input_tokens, cache_creation_tokens, cost_micros, estimated)
SELECT 'l' || n || s.id, s.workspace_id, 'r' || s.id, n || ' model', s.assigned_to_id, s.chat_id, 'p', 'm', 90, 10,
    0, 0, 10000, false
FROM assignments s, generate_series(1, {CALLS}) n;
"""
_POSTGRAPHILE = """
query M($id: String!) { missionByRowId(rowId: $id) {
  rowId title status totalEstimatedCost startedAt
  agentByWorkspaceIdAndLeadAgentId { rowId name }
  missionTasksByWorkspaceIdAndMissionId(first: 50, orderBy: [TASK_ORDER_ASC]) { nodes {
    rowId title status dependsOn iteration tokenCount estimatedCost
    agentByWorkspaceIdAndAssignedAgentId { rowId name status }
    assignmentByWorkspaceIdAndAssignmentId { rowId status
      runsByWorkspaceIdAndAssignmentId(first: 1, orderBy: [BEGAN_AT_DESC]) { nodes {
        rowId status model startedAt finishedAt } } } } } } }"""


def _asked(target: Target) -> Request:
    return graphql(DOCUMENT, ws=target.workspace, crew=target.crew, id=f"m{target.crew}")


def _node(name: str, script: str, asked: Any) -> Implementation:
    variables = {"NODE_ENV": "production", "GRAPHILE_ENV": "production"}
    directory = str(PEERS)
    return Implementation(name, lambda _: [str(NODE), script], {"M": asked}, TEMPLATE, variables, directory)


IMPLEMENTATIONS = (
    Implementation(BASE, _uvicorn(sys.executable, "floor_board"), {"M": _asked}, TEMPLATE),
    _node("mercurius-jit", "board.mjs", _asked),
    _node("postgraphile", "postgraphile.mjs", lambda target: graphql(_POSTGRAPHILE, id=f"m{target.crew}")),
    Service("service", _crewship, {"M": _asked}, TEMPLATE),
)


def seed(cluster: Cluster) -> None:
    cluster.create(TEMPLATE, product.DATABASE)
    cluster.execute(TEMPLATE, "SET session_replication_role = replica;" + ROWS)
    cluster.tidy([TEMPLATE])


@contextlib.contextmanager
def served(cluster: Cluster, chosen: Sequence[Implementation]) -> Iterator[dict[str, Server]]:
    with contextlib.ExitStack() as running:
        for each in chosen:
            cluster.create(each.database, TEMPLATE)
            if not isinstance(each, Service):
                everything = f"ALTER ROLE {ROLE} IN DATABASE {each.database} SET crewship.workspaces = '*'"
                cluster.execute("postgres", everything)
        yield {each.name: running.enter_context(Server(each, cluster)) for each in chosen}


def check(servers: dict[str, Server], target: Target) -> None:
    """PostGraphile's words are its own, and it does not reach the ledger, which has no foreign keys."""
    expected = _answer(servers[BASE], target)
    assert len(expected["tasks"]) == TASKS
    assert len(expected["tasks"][0]["assignment"]["runs"][0]["model_calls"]) == CALLS
    for name, server in servers.items():
        given = _answer(server, target)
        if name != "postgraphile" and given != expected:
            raise SystemExit(f"{name} answers otherwise: {given}\n{expected}")


def _answer(server: Server, target: Target) -> Any:
    status, body = server.ask(_asked_of(server, target), target.token)
    answer = json.loads(body)
    if status != 200 or "errors" in answer:
        raise SystemExit(f"{server.implementation.name}: {status} {body[:600]!r}")
    (found,) = answer["data"].values()
    return _timeless(plain(found))


def _asked_of(server: Server, target: Target) -> Request:
    return server.implementation.requests["M"](target)


def _timeless(value: Any) -> Any:
    """Each server writes times in its own way."""
    if isinstance(value, list):
        return [_timeless(each) for each in value]
    if not isinstance(value, dict):
        return value
    return {name: _timeless(each) for name, each in value.items() if not name.endswith("_at")}


def measure(servers: dict[str, Server], targets: list[Target], rounds: int, seconds: int) -> Results:
    results: Results = {CASE.name: {name: [] for name in servers}}
    for _ in range(rounds):
        for name in random.sample(list(servers), len(servers)):
            servers[name].measure(CASE, targets, WARM_SECONDS)
            results[CASE.name][name].append(servers[name].measure(CASE, targets, seconds))
    return results


def main() -> None:
    options = parse(__doc__)
    chosen = [each for each in IMPLEMENTATIONS if each.name == BASE or not options.only or each.name in options.only]
    environment.prepare(fastapi=False, peers=any(each.working_directory == str(PEERS) for each in chosen))
    with seeded({product.DATABASE}) as (cluster, targets):
        seed(cluster)
        with served(cluster, chosen) as servers:
            check(servers, targets[0])
            results = measure(servers, targets, options.rounds, options.seconds)
    print(table(CASE, results, BASE), f"\nload {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
