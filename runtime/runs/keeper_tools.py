"""The keeper's tools of our own agent loop: the agent uses credentials without getting their values.

The operations of agents' runtimes do the work, with all their checks; the agent is the run's, regardless of its
arguments.
"""

from collections.abc import Sequence
from typing import Annotated, Any, Final

import orjson
from pydantic import Field, ValidationError

from models.bounds import DESCRIPTION
from models.oversight.keeper import COMMAND, KeeperDecision
from models.resources.credentials import CredentialType
from models.staff.agents import ToolProfile
from resolvers.errors import Refusal
from resolvers.identity.caller import Caller
from resolvers.oversight.keeper import execute_command, request_access
from resolvers.resources.credentials.given import Given, GivenKind
from resolvers.rules.redaction import Redactor
from runtime.runs.job import Job
from runtime.sandbox import Sandbox
from runtime.tools import Tool, ToolResult, explain, fit
from runtime.tools.arguments import Arguments, schema_of

SERVICE: Final = "runtime"
MOST_NAMED: Final = 50
ASK, RUN = "request_credential", "run_with_credential"
NEXT: Final = {
    KeeperDecision.DENY: "Nothing was done. Continue without it, or report what you cannot do.",
    KeeperDecision.ESCALATE: f"Nothing was done. People are asked by {ASK}; ask again when they have answered.",
}


SECRET_INSIDE = "The command contains a secret of this run, and requests are stored, so nothing was done."


class RequestCredential(Arguments):
    credential: str = Field(min_length=1, max_length=255, description="The name of the credential")
    intent: Annotated[str, Field(min_length=10, max_length=DESCRIPTION)] = Field(
        description="What you want to do with it, and what for: it is judged by this, beside the conversation"
    )


class RunWithCredential(RequestCredential):
    command: str = Field(
        min_length=1,
        max_length=COMMAND,
        description="One program with its arguments; outside single quotes none of ; | & > ` $( ${",
    )


def keeper_tools(job: Job, given: Sequence[Given], sandbox: Sandbox, redactor: Redactor) -> dict[str, Tool]:
    """For an agent that holds secrets, and whose profile and sandbox run commands: without a command there is nothing
    to do with one.
    """
    secrets = [each for each in given if each.type == CredentialType.SECRET.value and each.kind is GivenKind.value]
    held = {each.variable for each in secrets if each.variable}
    if not held or job.agent.tool_profile is ToolProfile.MINIMAL or not sandbox.runs_commands:
        return {}
    named = f"You hold: {', '.join(sorted(held)[:MOST_NAMED])}."

    async def ask(data: RequestCredential) -> ToolResult:
        said = await _answer(request_access, job, data, redactor)
        decision = KeeperDecision(said["decision"])
        if decision is KeeperDecision.ALLOW:
            return ToolResult(f"ALLOW: {said['reason']} Use it by {RUN}, which is judged by its command.")
        people = "Nothing was done. Users were asked; ask again after their answer."
        return _refused(said, people if decision is KeeperDecision.ESCALATE else NEXT[decision])

    async def run(data: RunWithCredential) -> ToolResult:
        if redactor.knows(data.command):
            return ToolResult(SECRET_INSIDE, is_error=True)
        place = {"command": data.command, "container_id": job.agent.crew_id or job.agent.id}
        said = await _answer(execute_command, job, data, redactor, **place)
        decision = KeeperDecision(said["decision"])
        if decision is not KeeperDecision.ALLOW:
            return _refused(said, NEXT[decision])
        code = said.get("exit_code") or 0
        return ToolResult(fit(f"Exit code {code}\n{said.get('output') or ''}".rstrip("\n")), code != 0)

    return {
        ASK: _tool(ASK, f"Ask whether you may use a credential whose value you are not given. {named}", ask),
        RUN: _tool(
            RUN,
            "Run a command that finds the value of a credential in the variable of its name. It begins in an"
            " empty folder, with an empty home, and finds of your files those that it names by their whole paths"
            " (/output/…), which it cannot change; what it writes is gone with it. A credential of GitHub, GitLab or"
            " Vercel has a stand-in there, which its hosts take for the value over HTTPS: such a command works in your"
            f" own folder. You read what it says without the value. {named}",
            run,
            RunWithCredential,
        ),
    }


def _tool(name: str, description: str, body: Any, model: type[RequestCredential] = RequestCredential) -> Tool:
    async def run(arguments: dict[str, Any]) -> ToolResult:
        try:
            result: ToolResult = await body(model.model_validate(arguments))
        except ValidationError as refused:
            return ToolResult(f"Wrong arguments for {name}: {explain(refused)}", is_error=True)
        except Refusal as refusal:
            return ToolResult(f"Nothing was done: {refusal.detail}", is_error=True)
        return result

    return Tool(name, description, schema_of(model), run)


async def _answer(operation: Any, job: Job, data: RequestCredential, redactor: Redactor, **more: str) -> dict[str, Any]:
    asked = {
        "workspace_id": job.workspace_id,
        "requesting_agent_id": job.agent.id,
        "requesting_crew_id": job.agent.crew_id or job.agent.id,
        "credential_name": redactor.beside(data.credential),
        "intent": redactor.beside(data.intent),
        "run_id": job.run_id,
    }
    answer = await operation(Caller.service(SERVICE, job.workspace_id, job.run_id), asked | more)
    said: dict[str, Any] = orjson.loads(answer.body or b"{}")
    return said


def _refused(said: dict[str, Any], then: str) -> ToolResult:
    return ToolResult(fit(f"{said['decision']}: {said.get('reason') or ''} {then}"), is_error=True)
