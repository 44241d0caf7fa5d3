"""What tools of others make of the OpenAPI document: spectral's rules, and types for TypeScript."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from rest_compat.http import openapi
from tests.clients.conftest import HERE, Tools
from tests.npm import NODE, NPM, node_modules
from tests.world import World

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

OF_REST = HERE / "rest"
STRICT = ("--strict", "--noEmit", "--module", "nodenext", "--moduleResolution", "nodenext", "--target", "es2022")


@pytest.fixture
def rest_tools(request: pytest.FixtureRequest, tmp_path: Path) -> Tools:
    if NODE is None or NPM is None:
        pytest.skip("TOOLS FOR OPENAPI WERE NOT RUN: they need node and npm (Node.js 20 or newer) on the PATH")
    (tmp_path / "node_modules").symlink_to(node_modules(request.config, OF_REST / "package.json", "node-rest"))
    for file in (*OF_REST.glob("*.ts"), *OF_REST.glob("*.json")):
        shutil.copy(file, tmp_path)
    (tmp_path / "openapi.json").write_text(json.dumps(openapi.document()))
    (tmp_path / ".spectral.yaml").write_text('extends: ["spectral:oas"]\n')
    return Tools(tmp_path)


async def spectral(tools: Tools) -> tuple[int | None, list[Any]]:
    ran = await tools.run("spectral", "lint", "openapi.json", "--format", "json", "--fail-severity", "hint")
    found, _ = json.JSONDecoder().raw_decode(ran.out)  # a sentence follows where there is nothing
    return ran.code, [(one["code"], one["path"]) for one in found]


async def test_spectral_has_nothing_to_say(rest_tools: Tools) -> None:
    assert await spectral(rest_tools) == (0, [])


async def test_spectral_looks(rest_tools: Tools) -> None:
    document = openapi.document()
    del document["paths"]["/api/v1/crews"]["post"]["description"]
    (rest_tools.folder / "openapi.json").write_text(json.dumps(document))
    code, found = await spectral(rest_tools)
    assert code != 0
    assert [rule for rule, _ in found] == ["operation-description"]


def bodies() -> list[tuple[str, str, Any, bool]]:
    """Path, method, the smallest body, and whether less is too little."""
    document, made = openapi.document(), []
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            content = operation.get("requestBody", {}).get("content", {}).get("application/json")
            if content is not None:
                schema, example = content["schema"], content["example"]
                if "$ref" in schema:
                    schema = document["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
                required = schema.get("required", [])
                whole = not isinstance(example, dict) or "properties" not in schema
                made.append((path, method, example if whole else {n: example[n] for n in required}, bool(required)))
    return made


async def test_the_smallest_body_of_every_operation_compiles(rest_tools: Tools) -> None:
    found = bodies()
    assert len(found) > 150
    lines = [
        'import type { paths } from "./api";',
        "type Body<O> = O extends { requestBody?: { content: { 'application/json': infer B } } } ? B : never;",
    ]
    for number, (path, method, body, needs) in enumerate(found):
        kind = f"Body<paths[{json.dumps(path)}][{json.dumps(method)}]>"
        lines.append(f"export const body{number}: {kind} = {json.dumps(body)};")
        if needs:  # types that were `any` would let this pass, and tsc would complain about the comment
            lines += ["// @ts-expect-error: less is too little", f"export const less{number}: {kind} = {{}};"]
    (rest_tools.folder / "bodies.ts").write_text("\n".join(lines))
    made = await rest_tools.run("openapi-typescript", "openapi.json", "--output", "api.d.ts")
    assert made.code == 0, made.said
    compiled = await rest_tools.run("tsc", *STRICT, "bodies.ts", "client.ts")
    assert compiled.code == 0, compiled.said[:4000]


async def test_a_typed_client_makes_and_reads_a_crew(world: World, rest_tools: Tools) -> None:
    made = await rest_tools.run("openapi-typescript", "openapi.json", "--output", "api.d.ts")
    assert made.code == 0, made.said
    compiled = await rest_tools.run("tsc", *(option for option in STRICT if option != "--noEmit"), "client.ts")
    assert compiled.code == 0, compiled.said
    ran = await rest_tools.run("client.js", world.url, str(world.owner.token), world.workspace.slug)
    assert ran.code == 0, ran.said
    assert json.loads(ran.out) == {"made": 201, "listed": ["fetch"]}
