"""The outfit of a run: its adapter, and the guard between it and readers."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit

from pydantic import SecretStr

from models.staff.runs import ChatEventType
from resolvers.instance.settings import Settings
from resolvers.resources.credentials.given import Given, GivenKind, environment, given_to, still_given
from resolvers.rules.agent_folders import OUTPUT
from resolvers.rules.answering import is_asked_for, needs_coding_agent
from resolvers.rules.content_scan import scan
from resolvers.rules.redaction import Redactor
from runtime.adapters import adapter_for, provider_of
from runtime.coding.choice import Unfit, adapter_with, installed_for
from runtime.coding.mcp import configuration_through
from runtime.containers.choice import Sandboxes
from runtime.containers.place import Apart
from runtime.containers.sandbox import ContainerSandbox
from runtime.runners.remote import tools_on_runner
from runtime.runs.attachments import attached
from runtime.runs.consent import Approvals
from runtime.runs.guard import ProtectingGuard
from runtime.runs.job import Adapter, Failed, Job, NoContainer, Sink, ToolHooks
from runtime.runs.keeper_tools import keeper_tools
from runtime.runs.keys import CredentialKeys, EnvironmentKeys
from runtime.runs.known import redactor_of
from runtime.runs.mcp_programs import ProgramsPlace, programs_of
from runtime.runs.mcp_servers import RunServer, servers_for, tools_of
from runtime.runs.network import gateway_for
from runtime.runs.quarantine import quarantine
from runtime.runs.skills import files_of, noting_uses
from runtime.runs.turn import Guard
from runtime.sandbox import Isolation, Network, Sandbox, Workdir
from runtime.tools import tools_for

AGENT_STARTS = "Starting the agent"
NOT_ON_RUNNERS = "Coding agents do not run on runners; the agent has one, so it works through the service's own loop"
WITHOUT_PROCESSES = frozenset({"scripted", "local_model"})


@dataclass(frozen=True, slots=True)
class Fitted:
    adapter: Adapter
    guard: Guard
    attachments: tuple[str, ...] = ()
    writes: Workdir | None = None
    """The folder in which its processes write, if any: it is watched during the run."""
    begins: Callable[[Sink], Awaitable[None]] | None = None
    """Runs before the adapter begins, and is shown; raises Failed if the agent cannot work."""


class Outfit(Protocol):
    async def fit(self, job: Job) -> Fitted:
        """Raises Failed when nothing can do the job."""


class InstanceOutfit:
    """The outfit from the settings of this instance, for every agent."""

    def __init__(self, settings: Settings) -> None:
        self._settings, self._keys = settings, EnvironmentKeys(settings)
        self._known = tuple(_secrets(settings))
        self._sandboxes = Sandboxes(settings)

    async def fit(self, job: Job) -> Fitted:
        given = await given_to(job.workspace_id, job.agent.id)
        servers = await servers_for(job) if self._settings.run_adapter in ("auto", "native", "cli") else []
        hidden = [each.value for each in given if each.kind is not GivenKind.clear_field]
        values = [*hidden, *(server.secret for server in servers if server.secret)]
        redactor = await redactor_of((*self._known, *values))
        try:
            return await self._fitted(job, given, servers, values, redactor)
        except Failed as failed:
            failed.args = (redactor.beside(str(failed)),)
            raise

    async def _fitted(
        self, job: Job, given: list[Given], servers: list[RunServer], values: list[str], redactor: Redactor
    ) -> Fitted:
        workdir = replace(Workdir.of_job(self._settings.storage_path, job), given=files_of(job.skills))
        sandbox = await self._sandbox_of(job)
        guarded = self._settings.keeper_enabled
        confined = sandbox.isolation is not Isolation.none
        keys, variables = CredentialKeys(given, self._keys, job.agent.id), environment(given, guarded=guarded)

        async def now() -> dict[str, str]:
            return environment(await still_given(job.workspace_id, job.agent.id, given), guarded=guarded)

        guard, found = ProtectingGuard(redactor, _set_aside), await self._attached(workdir, job)
        if is_asked_for(self._settings):
            try:
                # Its model is behind a gateway that counts, and not beside it.
                network = await gateway_for(job, redactor) if confined else None
                coding, more = await self._coding(job, keys, sandbox, workdir, variables, network, servers)
                if more:
                    guard = ProtectingGuard(await redactor_of((*self._known, *values, *more)), _set_aside)
                return Fitted(coding, guard, found, workdir)
            except Unfit:
                if needs_coding_agent(self._settings, provider_of(job.agent)):
                    raise
        programs = await programs_of(job, servers, sandbox, guarded=guarded)
        if programs.servers:
            redactor = await redactor_of((*self._known, *values, *programs.values.values()))
            guard = ProtectingGuard(redactor, _set_aside)
        network = await gateway_for(job, redactor) if confined else None
        if programs.servers:
            servers = programs.among(servers, ProgramsPlace(sandbox, workdir, network))
        if job.runner is not None:
            tools = tools_on_runner(job, job.runner, given, workdir, network)
        else:
            searching = await self._searching(sandbox)
            tools = noting_uses(job, tools_for(job, sandbox, workdir, now, network, searching=searching))
        if guarded:
            tools |= keeper_tools(job, given, sandbox, redactor)
        theirs, told = await tools_of(job, servers, redactor)
        cwd = f"{OUTPUT}/{job.agent.slug}"
        adapter = await adapter_for(
            job,
            self._settings,
            keys=keys,
            tools=tools | theirs,
            scan=scan,
            redactor=redactor,
            cwd=cwd,
            consent=Approvals(),
            hooks=_hooks(job),
            servers=told,
        )
        works_here = job.runner is None and sandbox.runs_commands
        writes = workdir if works_here and adapter.name not in WITHOUT_PROCESSES else None
        container = sandbox if isinstance(sandbox, ContainerSandbox) and writes is not None else None
        return Fitted(adapter, guard, found, writes, None if container is None else partial(_begun, container, workdir))

    async def _coding(
        self,
        job: Job,
        keys: CredentialKeys,
        sandbox: Sandbox,
        workdir: Workdir,
        variables: dict[str, str],
        network: Network | None,
        servers: Sequence[RunServer],
    ) -> tuple[Adapter, list[str]]:
        """And the secrets that it is given by this alone."""
        if job.runner is not None:
            raise Unfit(NOT_ON_RUNNERS)
        installed, boundary = installed_for(job, self._settings, sandbox)
        assert network is not None, "what has a boundary has a way out"
        guarded = self._settings.keeper_enabled
        mcp, ways = await configuration_through(job, servers, installed.agent.adapter, network, guarded=guarded)
        made = await adapter_with(
            job,
            installed,
            boundary,
            keys=keys,
            workdir=workdir,
            network=network,
            environment=variables,
            mcp=mcp,
            ways=ways,
        )
        return made, mcp.secrets

    async def _sandbox_of(self, job: Job) -> Sandbox:
        """A runner takes the place of the crew's containers; what does not run there runs on this machine."""
        if job.runner is not None:
            return await self._sandboxes.of_machine()
        apart = Apart.restricted if job.restricted else Apart.nothing
        return await self._sandboxes.of_crew(job.workspace_id, job.agent.crew_id, apart)

    async def _attached(self, workdir: Workdir, job: Job) -> tuple[str, ...]:
        """Attached files are on this machine, where the tools of a runner do not find them."""
        return () if job.runner is not None else await asyncio.to_thread(attached, workdir, job.chat_id)

    async def _searching(self, sandbox: Sandbox) -> Sandbox:
        """The sandbox of this machine for file searches, if it has one: some images lack the programs, and the files
        are the same.
        """
        ours = await self._sandboxes.of_machine() if sandbox.isolation is Isolation.container else sandbox
        return ours if ours.runs_commands else sandbox

    async def sandbox(self) -> Sandbox:
        """The sandbox of this machine."""
        return await self._sandboxes.of_machine()


def _hooks(job: Job) -> ToolHooks | None:
    """A process without hooks does not load them."""
    if not job.hooked:
        return None
    from runtime.staff.hooks import RunHooks

    return RunHooks(job)


async def _begun(sandbox: ContainerSandbox, workdir: Workdir, sink: Sink) -> None:
    """Three lines if the container does not run yet, otherwise none (contract: chats.behaviour 9)."""
    told: list[str] = []

    async def tell(line: str) -> None:
        told.append(line)
        await sink.emit(ChatEventType.status, line)

    try:
        await sandbox.begin(workdir, tell)
    except NoContainer:
        raise
    except Failed as failed:
        raise NoContainer(str(failed)) from failed
    if told:
        await tell(AGENT_STARTS)


def _set_aside(content: str, metadata: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    return quarantine(content, metadata, scan)


def _secrets(settings: Settings) -> Iterator[str]:
    """The instance's own secrets: no agent may show one, however it came by it. Of addresses, the passwords in them."""
    for _, value in settings:
        if isinstance(value, SecretStr):
            secret = value.get_secret_value()
            yield secret
            if "://" in secret and (password := urlsplit(secret).password):
                yield password
                yield unquote(password)
