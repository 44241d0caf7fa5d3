"""Commands that the keeper has allowed, where agents' commands run."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Final

from resolvers.instance.ports import CommandOfAgent, NotRun, Ran
from resolvers.instance.settings import Settings
from resolvers.rules.agent_folders import SCRATCH
from resolvers.staff.runs.origin import works_for_strangers
from runtime.containers.choice import Sandboxes
from runtime.containers.place import Apart
from runtime.egress import EgressGateway
from runtime.runs.job import Failed
from runtime.runs.known import redactor_of
from runtime.runs.network import gateway_of
from runtime.runs.standing_in import StoodIn, stood_in
from runtime.sandbox import Isolation, Sandbox, Workdir
from runtime.tools import MOST_REFUSALS

SHELL = "/bin/sh"


PLAIN: Final = {
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_ATTR_NOSYSTEM": "1",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_PAGER": "cat",
    "PAGER": "cat",
    "PYTHONNOUSERSITE": "1",
    "NPM_CONFIG_USERCONFIG": os.devnull,
    "NPM_CONFIG_GLOBALCONFIG": os.devnull,
    "PSQLRC": os.devnull,
    "PSQL_PAGER": "cat",
    "CURL_HOME": SCRATCH,
    "XDG_CONFIG_HOME": SCRATCH,
}
"""No user configuration: a command with a secret only obeys its arguments."""


class SandboxedCommands:
    """In the folder of the agent, as its own commands are, or in an empty one."""

    def __init__(self, settings: Settings, sandbox: Sandbox | None = None) -> None:
        self._settings, self._sandboxes = settings, Sandboxes(settings, sandbox)

    async def run(self, command: CommandOfAgent) -> Ran:
        try:
            sandbox = await self._sandbox(command)
            if not sandbox.runs_commands:
                raise NotRun("Commands are disabled on this server", unavailable=True)
            confined = sandbox.isolation is not Isolation.none
            stood = await stood_in(command, sandbox)
            network = await _network(command, stood) if command.reaches_out and confined else None
            ended = await sandbox.run(
                [SHELL, "-c", command.command],
                workdir=_workdir(self._settings.storage_path, command, stood),
                timeout=command.timeout,
                environment=_environment(command, stood),
                network=network,
            )
        except Failed as failed:
            raise NotRun(str(failed)) from None
        refused = [] if network is None else network.refusals[:MOST_REFUSALS]
        said = "".join(f"[network: {each}]\n" for each in refused)
        output = f"{said}{ended.stdout}{ended.stderr}"
        return Ran(ended.exit_code, output, ended.truncated, stood_in=stood is not None)

    async def _sandbox(self, command: CommandOfAgent) -> Sandbox:
        """The sandbox of the agent. A command that only reads files runs on this machine or, if it has no sandbox, in a
        separate container of the crew.
        """
        if not command.agent_id:
            ours = await self._sandboxes.of_machine()
            if ours.runs_commands:
                return ours
        return await self._sandboxes.of_crew(command.workspace_id, command.crew_id, Apart.alone)


def _environment(command: CommandOfAgent, stood: StoodIn | None) -> dict[str, str]:
    if stood is not None:
        return dict(stood.environment)
    return {**command.environment, **({} if command.given is None else PLAIN)}


async def _network(command: CommandOfAgent, stood: StoodIn | None = None) -> EgressGateway:
    """The crew's network; the restricted one if the agent works on external content, as in its run."""
    restricted = await works_for_strangers(command.workspace_id, command.agent_id)
    about, redactor = {"agent_id": command.agent_id}, await redactor_of(command.environment.values())
    stand_ins = None if stood is None else stood.stand_ins
    return await gateway_of(
        command.workspace_id, command.crew_id, about, redactor, restricted=restricted, stand_ins=stand_ins
    )


def _workdir(storage: Path, command: CommandOfAgent, stood: StoodIn | None) -> Workdir:
    """A command with a placeholder works in its agent's folder, because the secret is not there."""
    if not command.agent_id and command.crew_id is not None:
        return Workdir.of_crew(
            storage, workspace_id=command.workspace_id, crew_id=command.crew_id, agent_slug=command.agent_slug
        )
    if not command.agent_id and not command.agent_slug:
        return Workdir.of_nobody(storage, workspace_id=command.workspace_id)
    own = Workdir.of(
        storage,
        workspace_id=command.workspace_id,
        agent_id=command.agent_id,
        agent_slug=command.agent_slug,
        crew_id=command.crew_id,
    )
    if stood is not None:
        return replace(own, given=stood.files)
    return own if command.given is None else replace(own, given=command.given, apart=True)
