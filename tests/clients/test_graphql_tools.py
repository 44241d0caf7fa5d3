"""What tools of others think of /graphql: graphql-http's audits, graphql-inspector, graphql-codegen, and a client on
the types it made.
"""

import json
from pathlib import Path

import pytest

from schema.bridge.root import sdl
from tests.clients.conftest import HERE, Tools
from tests.world import World

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

COMMITTED = HERE.parents[1] / "schema" / "schema.graphql"
COMPILER = ("--strict", "--target", "es2022", "--module", "commonjs", "--lib", "es2022,dom", "--types", "")


@pytest.fixture
def contract(tools: Tools) -> Path:
    """The SDL that clients are given."""
    file = tools.folder / "committed.graphql"
    file.write_text(COMMITTED.read_text() if COMMITTED.exists() else sdl())
    return file


async def test_every_audit_of_graphql_over_http_passes(world: World, tools: Tools) -> None:
    ran = await tools.run("audit.mjs", f"{world.url}/graphql")
    assert ran.code == 0, ran.said
    results = [json.loads(line) for line in ran.out.splitlines()]
    assert len(results) > 50, "fewer audits than graphql-http had"
    assert [r for r in results if r["status"] != "ok"] == []


async def test_introspection_is_the_committed_schema(world: World, tools: Tools, contract: Path) -> None:
    live = tools.folder / "live.graphql"
    introspected = await tools.run("introspect.mjs", f"{world.url}/graphql")
    assert introspected.code == 0, introspected.said
    live.write_text(introspected.out)
    ran = await tools.run("graphql-inspector", "diff", contract.name, live.name)
    assert (ran.code, "No changes detected" in ran.said) == (0, True), ran.said


async def test_the_inspector_introspects_by_itself(world: World, tools: Tools, contract: Path) -> None:
    """It does not ask for `specifiedByURL`, whose absence it then reports; it reports nothing else."""
    ran = await tools.run("graphql-inspector", "diff", contract.name, f"{world.url}/graphql")
    assert ran.code == 0, ran.said
    changes = [
        line for line in ran.said.splitlines() if line and ("removed" in line or "added" in line or "changed" in line)
    ]
    assert [c for c in changes if "specifiedBy was removed from scalar" not in c] == []
    assert "No breaking changes detected" in ran.said or "No changes detected" in ran.said


async def test_documents_are_judged_as_the_server_judges_them(world: World, tools: Tools, contract: Path) -> None:
    good = await tools.run("graphql-inspector", "validate", "documents/*.graphql", contract.name)
    assert (good.code, "All documents are valid" in good.said) == (0, True), good.said
    wrong = "query Wrong($ws: ID!) { labels(workspaceId: $ws) { id secret } }"
    (tools.folder / "wrong.graphql").write_text(wrong)
    bad = await tools.run("graphql-inspector", "validate", "wrong.graphql", contract.name)
    assert bad.code != 0
    assert "secret" in bad.said
    assert "'secret'" in (await world.graphql(world.owner, wrong))["errors"][0]["message"]


async def test_generated_types_compile_and_carry_a_client(world: World, tools: Tools) -> None:
    endpoint = f"{world.url}/graphql"
    made = await tools.run("graphql-codegen", "--config", "codegen.json", ENDPOINT=endpoint)
    assert made.code == 0, made.said
    compiled = await tools.run("tsc", *COMPILER, "typed.ts", "types.ts", "operations.ts")
    assert compiled.code == 0, compiled.said
    document = (tools.folder / "documents" / "crews.graphql").read_text()
    ran = await tools.run("typed.js", endpoint, world.owner.token, world.workspace.id, document)
    assert ran.code == 0, ran.said
    assert json.loads(ran.out) == {"names": ["ALPHA", "BETA", "GAMMA"], "listed": ["GAMMA", "BETA", "ALPHA"]}
