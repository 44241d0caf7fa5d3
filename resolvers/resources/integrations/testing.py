"""The connection test of an MCP server (contract: integrations, rules.connection_test): one request without a
credential. A stdio server is started for it, with the environment of a run.
"""

from typing import Annotated, Any, Final

import orjson

from models.resources.integrations import CrewIntegration, Transport, WorkspaceIntegration
from resolvers.instance.mcp_client import McpFailed, introduced
from resolvers.instance.outbound import Answered, Policy
from resolvers.instance.ports import NotRun
from resolvers.kernel import Absent, Action, ById, Code, Context, Output, Refusal, instance, procedure
from resolvers.resources.integrations.crew_servers import CREW_SERVER, OfCrewServer
from resolvers.resources.integrations.programs import NO_COMMAND, SECONDS, asked_program
from resolvers.resources.integrations.workspace_servers import SERVER

TIMEOUT, LARGEST, BEGINNING = 10, 64 << 10, 4 << 10
LONGEST_SAID: Final = 500
ANSWERED: Final = "Server responded successfully"
EVENTS = "text/event-stream"
INITIALIZE: Final = orjson.dumps(
    {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "initialize",
        "params": {
            "protocolVersion": "2025-03-26",
            "capabilities": {},
            "clientInfo": {"name": "crewship-test", "version": "1.0.0"},
        },
    }
)
HEADERS: Final = {"content-type": "application/json", "accept": f"application/json, {EVENTS}"}


class ServerTest(Output):
    """`status` is ok, error, auth_required or skipped; `server_info` is the server's description of itself."""

    status: str
    message: Annotated[str | None, Absent()] = None
    server_info: Annotated[Any, Absent()] = None


def policy() -> Policy:
    """The policy for addresses of MCP servers."""
    return Policy.PRIVATE_TOO if instance.settings.mcp_allow_private else Policy.PUBLIC


@procedure("integrations.test", Action.CREATE, subject=SERVER, errors=(Code.RATE_LIMITED,), late=True)
async def test_integration(ctx: Context, server: WorkspaceIntegration, data: ById) -> ServerTest:
    """Test the connection to an MCP server of the workspace.

    The result is returned, also if the test fails. Sends no credential to an endpoint. A stdio server is started with
    the environment of a run, if this instance allows it, and is stopped afterwards.
    """
    return await _tested(ctx, server)


@procedure(
    "crew_integrations.test", Action.CREATE, subject=CREW_SERVER, errors=(Code.RATE_LIMITED,), late=True, scopes="crews"
)
async def test_crew_integration(ctx: Context, server: CrewIntegration, data: OfCrewServer) -> ServerTest:
    """Test the connection to an MCP server of a crew.

    The result is returned, also if the test fails. Sends no credential to an endpoint. A stdio server is started with
    the environment of a run, if this instance allows it, and is stopped afterwards.
    """
    return await _tested(ctx, server)


async def _tested(ctx: Context, server: WorkspaceIntegration | CrewIntegration) -> ServerTest:
    if server.transport is Transport.stdio:
        return await _started(ctx, server) if server.command else ServerTest(status="error", message=NO_COMMAND)
    if not server.endpoint:
        return ServerTest(status="error", message="No endpoint configured for this server")
    try:
        async with ctx.outside.http(policy(), timeout=TIMEOUT, most=LARGEST, cut=True) as http:
            return _judged(await http.post(server.endpoint, INITIALIZE, headers=HEADERS))
    except Refusal as refusal:
        return ServerTest(status="error", message=f"Connection failed: {refusal.detail}")


async def _started(ctx: Context, server: WorkspaceIntegration | CrewIntegration) -> ServerTest:
    try:
        async with asked_program(ctx, server) as ready:
            redactor = ready.redactor
            said = redactor.redact_json(await introduced(ready.program, seconds=SECONDS))
    except NotRun as reason:
        return ServerTest(status="skipped", message=str(reason))
    except McpFailed as failed:
        return ServerTest(status="error", message=failed.told(redactor.redact))
    if len(orjson.dumps(said)) > LARGEST:
        return ServerTest(
            status="error", message=(f"The server's description of itself has more than {LARGEST >> 10} KiB")
        )
    return ServerTest(status="ok", message=ANSWERED, server_info=said)


def _judged(answer: Answered) -> ServerTest:
    if answer.status in (401, 403):
        return ServerTest(status="auth_required", message="Server requires authentication")
    if not 200 <= answer.status < 300:
        return ServerTest(status="error", message=f"Server returned HTTP {answer.status}")
    if _is_stream(answer):
        faults = [fault for line in answer.body.splitlines() if (fault := _fault(_data(line))) is not None]
        return faults[0] if faults else ServerTest(status="ok", message="Server responded with SSE stream")
    said = _object(answer.body)
    if (fault := _fault(said)) is not None:
        return fault
    if isinstance(said, dict) and isinstance(said.get("result"), dict):
        return ServerTest(status="ok", message=ANSWERED, server_info=said["result"])
    return ServerTest(status="error", message="Server returned no JSON-RPC answer")


def _is_stream(answer: Answered) -> bool:
    lines = answer.body[:BEGINNING].splitlines()
    told = any(line.startswith((b"event:", b"data:")) for line in lines)
    return told or EVENTS in answer.headers.get("content-type", "")


def _data(line: bytes) -> Any:
    return _object(line.removeprefix(b"data:")) if line.startswith(b"data:") else None


def _object(text: bytes) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return None


def _fault(said: Any) -> ServerTest | None:
    error = said.get("error") if isinstance(said, dict) else None
    if error is None:
        return None
    text = str(error.get("message", "")) if isinstance(error, dict) else ""
    return ServerTest(status="error", message=f"Server returned JSON-RPC error: {text[:LONGEST_SAID]}")
