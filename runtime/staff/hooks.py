"""Hooks are run: HTTP calls through the guard of outbound calls, commands in the sandbox (docs/hooks.md)."""

import asyncio
import hashlib
import hmac
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from models.bounds import DESCRIPTION, LINE, cut
from models.sealed import Sealed
from models.staff.hooks import Hook, HookEvent, HookHandler, HookOutcome
from resolvers.errors import Code, Refusal
from resolvers.identity.caller import Caller
from resolvers.instance.outbound import Policy as Reachable
from resolvers.instance.ports import CommandOfAgent, NotRun
from resolvers.instance.running import instance
from resolvers.instance.telemetry import log
from resolvers.instance.vault import Unopenable
from resolvers.staff.crews.network import network_of
from resolvers.staff.hooks.happenings import (
    FIRE,
    FOLLOW,
    SPREAD,
    FoundHook,
    Happening,
    NoteHook,
    OfFiring,
    OfHappening,
    enqueue_happenings,
    happening_of,
    hooks_at,
    note,
    note_hook,
    spread,
)
from resolvers.staff.hooks.hooks import DEFAULT_SECONDS, MOST_SECONDS
from runtime.egress import ConnectionRefused, Endpoint, Policy
from runtime.engine.background import Work, carries
from runtime.engine.clocks import Tick, ticks
from runtime.runs.job import Job
from runtime.runs.storable import size_of, storable

SERVICE: Final = "runtime"
AGENT: Final = "crewship-hooks/1"
ANSWER: Final = 4096
"""Bytes that are kept of an answer or of an output."""
IN_MESSAGE: Final = 200
LARGEST: Final = 64 << 10
"""Bytes of a payload that a command finds in its environment."""
TOO_LARGE: Final = orjson.dumps({"left_out": "the payload has more than 64 KiB"}).decode()
NO_RUNNER: Final = "No runner of subagents is configured"
GRACE: Final = 30.0


@dataclass(frozen=True, slots=True)
class Fired:
    """The outcome of a hook that has run."""

    outcome: HookOutcome
    message: str
    payload: Mapping[str, Any] = field(default_factory=dict)
    ms: int = 0

    def stops(self, hook: FoundHook) -> bool:
        """An error stops only if the hook fails closed."""
        fails_closed = hook.handler_config.get("fail_closed") is True
        return self.outcome is HookOutcome.block or (self.outcome is HookOutcome.error and fails_closed)


async def fire(hook: FoundHook, happening: Happening) -> Fired:
    """Runs a hook once. Never raises but for cancellation."""
    began, seconds = time.monotonic(), float(hook.handler_config.get("timeout_secs", DEFAULT_SECONDS))
    try:
        if hook.handler_kind is HookHandler.http:
            made = await _called(hook, happening, seconds)
        elif hook.handler_kind is HookHandler.shell:
            made = await _commanded(hook, happening, seconds)
        else:
            made = Fired(HookOutcome.error, NO_RUNNER)
    except Exception as error:
        log.warning("hook failed", hook_id=hook.id, error=type(error).__name__)
        made = Fired(HookOutcome.error, "The hook failed because of an internal error")
    return Fired(made.outcome, made.message, made.payload, int((time.monotonic() - began) * 1000))


async def _called(hook: FoundHook, happening: Happening, seconds: float) -> Fired:
    url = str(hook.handler_config["url"])
    if (refused := await _kept_in(happening, url)) is not None:
        return Fired(HookOutcome.block, refused)
    body = orjson.dumps(_told(happening), default=str)
    headers = {"content-type": "application/json", "user-agent": AGENT}
    if hook.secret is not None:
        try:
            sealed = Sealed(hook.secret)
            opened = await instance.vault.open(sealed, table=Hook, column="secret", row_id=hook.id)
        except Unopenable:
            return Fired(HookOutcome.error, "The secret of the hook cannot be opened")
        signature = hmac.new(opened.reveal().encode(), body, hashlib.sha256).hexdigest()
        headers["x-crewship-signature"] = f"sha256={signature}"
    reachable = Reachable.PRIVATE_TOO if instance.settings.hooks_allow_private else Reachable.PUBLIC
    try:
        async with instance.http(reachable, timeout=seconds, most=ANSWER, cut=True) as http:
            answer = await http.post(url, body, headers=headers)
    except Refusal as refusal:
        refused = refusal.code is Code.BAD_REQUEST  # the address may not be called
        return Fired(HookOutcome.block if refused else HookOutcome.error, cut(refusal.detail, LINE))
    text = answer.body.decode(errors="replace").replace("\0", "")[:ANSWER]
    good = 200 <= answer.status < 300
    outcome = HookOutcome.passed if good else HookOutcome.block
    return Fired(outcome, f"http {answer.status}: {text[:IN_MESSAGE]}", {"status": answer.status, "body": text})


async def _kept_in(happening: Happening, url: str) -> str | None:
    """Why the crew's network does not allow the address; None if it does, or no crew is concerned."""
    if not happening.crew_id:
        return None
    crew = await network_of(happening.workspace_id, happening.crew_id)
    try:
        Policy(crew.mode, frozenset(crew.allowed_domains)).judge(Endpoint.of_url(url), tunnel=True)
    except ConnectionRefused as refused:
        return f"The crew's network does not allow the address: {refused}"
    return None


async def _commanded(hook: FoundHook, happening: Happening, seconds: float) -> Fired:
    command = CommandOfAgent(
        happening.workspace_id,
        happening.agent_id,
        happening.agent_slug,
        happening.crew_id or None,
        str(hook.handler_config["command"]),
        _environment(happening),
        seconds,
    )
    try:
        ran = await instance.commands.run(command)
    except NotRun as reason:
        return Fired(HookOutcome.error, cut(str(reason), LINE))
    output = ran.output.replace("\0", "")[:ANSWER]
    outcome = HookOutcome.passed if ran.exit_code == 0 else HookOutcome.block
    return Fired(outcome, output[:IN_MESSAGE], {"exit_code": ran.exit_code, "output": output})


def _told(happening: Happening) -> dict[str, Any]:
    names = ("event", "workspace_id", "crew_id", "agent_id", "mission_id", "tool_name", "severity")
    now = instance.clock.now().isoformat().replace("+00:00", "Z")
    return {name: getattr(happening, name) for name in names} | {"payload": dict(happening.payload), "ts": now}


def _environment(happening: Happening) -> dict[str, str]:
    payload = orjson.dumps(dict(happening.payload), default=str).decode()
    names = ("event", "workspace_id", "crew_id", "agent_id", "mission_id", "tool_name")
    told = {f"CREWSHIP_{name.upper()}": str(getattr(happening, name)).replace("\0", "") for name in names}
    return told | {"CREWSHIP_PAYLOAD": payload if len(payload.encode()) <= LARGEST else TOO_LARGE}


def noted(hook: FoundHook, happening: Happening, fired: Fired) -> dict[str, Any]:
    """The input of `hooks.note`."""
    made: dict[str, Any] = storable(
        {
            "hook_id": hook.id,
            "event": happening.event,
            "handler_kind": hook.handler_kind,
            "outcome": fired.outcome,
            "message": cut(fired.message, DESCRIPTION),
            "latency_ms": fired.ms,
            "blocking": hook.blocking,
            "handler_payload": dict(fired.payload),
            "crew_id": happening.crew_id,
            "agent_id": happening.agent_id,
            "mission_id": happening.mission_id,
            "tool_name": cut(happening.tool_name, LINE),
        }
    )
    return made


# ---- by the worker of a run ------------------------------------------------------------------------------------------


class RunHooks:
    """The hooks of one run's events, run by its worker. Hooks that do not block run beside it."""

    def __init__(self) -> None:
        self._beside = set[asyncio.Task[None]]()

    async def before_start(self, job: Job) -> str | None:
        """Why the run must not start; None if nothing stops it."""
        told = {"run_id": job.run_id, "chat_id": job.chat_id}
        return await self._happens(_happening(job, HookEvent.pre_agent_start, told))

    async def before_tool(self, job: Job, tool: str, arguments: Mapping[str, Any]) -> str | None:
        """Why the tool must not be called; None if nothing stops it."""
        told = {"run_id": job.run_id, "input": _shown(arguments)}
        return await self._happens(_happening(job, HookEvent.pre_tool_call, told, tool))

    async def after_tool(self, job: Job, tool: str, *, is_error: bool, withheld: str) -> None:
        """`withheld`: why the guard withheld the result, if it did."""
        told = {"run_id": job.run_id, "is_error": is_error}
        await self._happens(_happening(job, HookEvent.post_tool_call, told, tool))
        if withheld:
            caught = {"run_id": job.run_id, "category": withheld}
            await self._happens(_happening(job, HookEvent.on_guardrail_triggered, caught, tool, "warn"))

    async def _happens(self, happening: Happening) -> str | None:
        found = await hooks_at(happening)
        for hook in [hook for hook in found if hook.blocking]:
            fired = await _fired(hook, happening)
            if fired.stops(hook):
                return f"{happening.event} hook blocked: hooks: blocked by {hook.id}: {fired.message}"
        for hook in [hook for hook in found if not hook.blocking]:
            task = asyncio.create_task(_beside(hook, happening), name=f"hook {hook.id}")
            self._beside.add(task)
            task.add_done_callback(self._beside.discard)
        return None


def _happening(
    job: Job, event: HookEvent, payload: dict[str, Any], tool: str = "", severity: str = "info"
) -> Happening:
    agent = job.agent
    whose = {"crew_id": agent.crew_id or "", "agent_id": agent.id, "agent_slug": agent.slug}
    return Happening(event, job.workspace_id, **whose, tool_name=tool, severity=severity, payload=payload)


def _shown(arguments: Mapping[str, Any]) -> Any:
    made = storable(dict(arguments))
    return made if size_of(made) <= LARGEST else {"left_out": True}


async def _fired(hook: FoundHook, happening: Happening) -> Fired:
    fired = await fire(hook, happening)
    await note_hook(Caller.service(SERVICE, happening.workspace_id), noted(hook, happening, fired))
    return fired


async def _beside(hook: FoundHook, happening: Happening) -> None:
    try:
        await _fired(hook, happening)
    except Exception as error:
        log.warning("the outcome of a hook is not recorded", hook_id=hook.id, error=type(error).__name__)


# ---- behind the facts ------------------------------------------------------------------------------------------------


@ticks(FOLLOW)
async def follow_outbox(tick: Tick) -> None:
    while await tick.write(enqueue_happenings):
        pass


@carries(SPREAD)
async def spread_happening(work: Work, data: OfHappening) -> None:
    happening = await work.read(lambda ctx: happening_of(ctx, data))
    hooks = [] if happening is None else await hooks_at(happening)
    if hooks:
        await work.write("spread", lambda ctx: spread(ctx, data, hooks))


@carries(FIRE)
async def fire_hook(work: Work, data: OfFiring) -> None:
    """At least once: the receiver may see an event again if this process ends meanwhile."""
    happening = await work.read(lambda ctx: happening_of(ctx, data))
    hooks = [] if happening is None else await hooks_at(happening)
    hook = next((hook for hook in hooks if hook.id == data.hook_id), None)
    if happening is None or hook is None:
        return
    fired = await work.call("fire", lambda _: fire(hook, happening), timeout=MOST_SECONDS + GRACE)
    told = NoteHook(**noted(hook, happening, fired))

    async def write(ctx: Any) -> None:
        note(ctx, told)

    await work.write("note", write)
