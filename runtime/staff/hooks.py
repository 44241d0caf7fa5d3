"""Hooks are run: HTTP calls through the guard of outbound calls, commands in the sandbox (docs/hooks.md)."""

import asyncio
import hashlib
import hmac
import time
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

import orjson

from models.bounds import DESCRIPTION, LINE, cut
from models.sealed import Sealed
from models.staff.hooks import Hook, HookEvent, HookHandler, HookOutcome
from models.staff.runs import ChatEventType
from resolvers.errors import Code, Refusal
from resolvers.identity.caller import Caller
from resolvers.instance.outbound import Policy as Reachable
from resolvers.instance.ports import CommandOfAgent, NotRun
from resolvers.instance.running import instance
from resolvers.instance.telemetry import log
from resolvers.instance.vault import Unopenable
from resolvers.rules.known_sets import redactor_of
from resolvers.rules.redaction import Redactor
from resolvers.staff.crews.network import network_of
from resolvers.staff.hooks.happenings import (
    FIRE,
    FOLLOW,
    FoundHook,
    Happening,
    NoteHook,
    OfFiring,
    Started,
    enqueue_happenings,
    happening_of,
    hooks_at,
    note,
    note_hook,
    started_by,
)
from resolvers.staff.hooks.hooks import DEFAULT_SECONDS, MOST_SECONDS
from resolvers.staff.runs.questions import TRIGGER as QUESTION
from runtime.engine.background import Work, carries, taken
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
"""Seconds that a command may take to be started, beside its own."""
AT_ONCE: Final = 4
MOST_WAITING: Final = 200
"""Hooks beside one run."""
_TASKS: Final = set[asyncio.Task[None]]()
"""Keeps tasks alive: a task to which only the event loop refers may be collected before it ends."""


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
    """Runs a hook once. Secrets in its output are redacted. Never raises but for cancellation."""
    began = time.monotonic()
    try:
        seconds = float(hook.handler_config.get("timeout_secs", DEFAULT_SECONDS))
        async with asyncio.timeout(seconds + GRACE):
            made = await _handled(hook, happening, seconds)
    except TimeoutError:
        made = Fired(HookOutcome.error, f"The hook did not end within {seconds + GRACE:g} seconds")
    except Exception as error:
        log.warning("hook failed", hook_id=hook.id, error=type(error).__name__)
        made = Fired(HookOutcome.error, "The hook failed because of an internal error")
    return replace(made, ms=int((time.monotonic() - began) * 1000))


async def _handled(hook: FoundHook, happening: Happening, seconds: float) -> Fired:
    if hook.handler_kind is HookHandler.http:
        try:
            secret = await _opened(hook)
        except Unopenable:
            return Fired(HookOutcome.error, "The secret of the hook cannot be opened")
        made = await _called(hook, happening, seconds, secret)
        redactor = await redactor_of((secret,) if secret else ())
    elif hook.handler_kind is HookHandler.shell:
        made, redactor = await _commanded(hook, happening, seconds), Redactor()
    else:
        return Fired(HookOutcome.error, NO_RUNNER)
    return replace(made, message=redactor.redact(made.message), payload=redactor.redact_json(dict(made.payload)))


async def _opened(hook: FoundHook) -> str:
    """Empty if the hook has no secret. Raises Unopenable."""
    if hook.secret is None:
        return ""
    opened = await instance.vault.open(Sealed(hook.secret), table=Hook, column="secret", row_id=hook.id)
    return opened.reveal()


async def _called(hook: FoundHook, happening: Happening, seconds: float, secret: str) -> Fired:
    url = str(hook.handler_config["url"])
    if (refused := await _kept_in(happening, url)) is not None:
        return Fired(HookOutcome.block, refused)
    body = orjson.dumps(_told(happening), default=str)
    headers = {"content-type": "application/json", "user-agent": AGENT}
    if secret:
        signature = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
        headers["x-crewship-signature"] = f"sha256={signature}"
    reachable = Reachable.PRIVATE_TOO if instance.settings.hooks_allow_private else Reachable.PUBLIC
    try:
        async with instance.http(reachable, timeout=seconds, most=ANSWER, cut=True) as http:
            answer = await http.post(url, body, headers=headers)
    except Refusal as refusal:
        is_forbidden = refusal.code is Code.BAD_REQUEST  # the address may not be called
        return Fired(HookOutcome.block if is_forbidden else HookOutcome.error, cut(refusal.detail, LINE))
    text = answer.body.decode(errors="replace").replace("\0", "")[:ANSWER]
    good = 200 <= answer.status < 300
    outcome = HookOutcome.passed if good else HookOutcome.block
    return Fired(outcome, f"http {answer.status}: {text[:IN_MESSAGE]}", {"status": answer.status, "body": text})


async def _kept_in(happening: Happening, url: str) -> str | None:
    """Why the crew's network does not allow the address; None if it does, or no crew is concerned."""
    if not happening.crew_id:
        return None
    # A server whose crews have no hooks loads no proxy.
    from runtime.egress import ConnectionRefused, Endpoint, Policy

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
    if instance.commands is None:
        return Fired(HookOutcome.error, "This process runs no commands")
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
    """The hooks of one run's events, run by its worker. Hooks that do not block run beside it.

    Events of tools are those that readers of the run are shown, so they are the same for every adapter.
    """

    def __init__(self, job: Job) -> None:
        self._job, self._started = job, Started()
        self._tools = dict[str, str]()  # calls without a result
        self._free, self._waiting = asyncio.Semaphore(AT_ONCE), 0

    async def before_start(self) -> str | None:
        """Why the run must not start; None if nothing stops it."""
        run = {"run_id": self._job.run_id, "chat_id": self._job.chat_id}
        started = await self._begin()
        if started.assignment_id:
            task = {**run, "assignment_id": started.assignment_id}
            if (refused := await self._happens(HookEvent.pre_task_delegation, task)) is not None:
                return refused
        elif started.trigger_type == QUESTION:
            question = {**run, "conversation_id": self._job.run_id}  # which has the id of its run
            if (refused := await self._happens(HookEvent.pre_peer_conversation, question)) is not None:
                return refused
        return await self._happens(HookEvent.pre_agent_start, run)

    async def before_tool(self, tool: str, arguments: Mapping[str, Any]) -> str | None:
        """Why the tool must not be called; None if nothing stops it."""
        payload = {"run_id": self._job.run_id, "input": _shown(arguments)}
        return await self._happens(HookEvent.pre_tool_call, payload, tool)

    def hears(self, type: ChatEventType, content: str, metadata: Mapping[str, Any]) -> None:
        """An event of the run, as readers see it."""
        if type == ChatEventType.tool_call and len(self._tools) < MOST_WAITING:
            self._tools[str(metadata.get("tool_id", ""))] = str(metadata.get("tool_name") or content)
        elif type == ChatEventType.tool_result:
            tool = self._tools.pop(str(metadata.get("tool_use_id", "")), "")
            self._beside(self._after_tool(tool, dict(metadata)))

    async def _after_tool(self, tool: str, metadata: Mapping[str, Any]) -> None:
        run = {"run_id": self._job.run_id}
        await self._happens(HookEvent.post_tool_call, {**run, "is_error": metadata.get("is_error") is True}, tool)
        if metadata.get("scan_quarantined") is True:
            caught = {**run, "category": str(metadata.get("scan_category", ""))}
            await self._happens(HookEvent.on_guardrail_triggered, caught, tool, "warn")

    async def _begin(self) -> Started:
        if self._started == Started():
            self._started = await taken(lambda: started_by(self._job.workspace_id, self._job.run_id))
        return self._started

    async def _happens(
        self, event: HookEvent, payload: dict[str, Any], tool: str = "", severity: str = "info"
    ) -> str | None:
        agent, started = self._job.agent, await self._begin()
        happening = Happening(
            event,
            self._job.workspace_id,
            crew_id=agent.crew_id or "",
            agent_id=agent.id,
            agent_slug=agent.slug,
            mission_id=started.mission_id,
            tool_name=tool,
            severity=severity,
            payload=payload,
        )
        found = await taken(lambda: hooks_at(happening))
        for hook in [hook for hook in found if hook.blocking]:
            fired = await _fired(hook, happening)
            if fired.stops(hook):
                return f"{event} hook blocked: hooks: blocked by {hook.id}: {fired.message}"
        for hook in [hook for hook in found if not hook.blocking]:
            self._beside(_fired(hook, happening))
        return None

    def _beside(self, work: Coroutine[Any, Any, Any]) -> None:
        if self._waiting >= MOST_WAITING:
            work.close()
            log.warning("too many hooks of one run wait: one is left out", run_id=self._job.run_id)
            return
        self._waiting += 1
        task = asyncio.create_task(self._in_turn(work), name=f"hook of {self._job.run_id}")
        _TASKS.add(task)
        task.add_done_callback(_TASKS.discard)

    async def _in_turn(self, work: Coroutine[Any, Any, Any]) -> None:
        try:
            async with self._free:
                await work
        except Exception as error:
            log.warning("hooks of an event were not run", run_id=self._job.run_id, error=type(error).__name__)
        finally:
            work.close()
            self._waiting -= 1


def _shown(arguments: Mapping[str, Any]) -> Any:
    made = storable(dict(arguments))
    return made if size_of(made) <= LARGEST else {"left_out": True}


async def _fired(hook: FoundHook, happening: Happening) -> Fired:
    fired = await fire(hook, happening)
    entry, caller = noted(hook, happening, fired), Caller.service(SERVICE, happening.workspace_id)
    try:
        await taken(lambda: note_hook(caller, entry))
    except Exception as error:  # the outcome counts all the same
        log.warning("the outcome of a hook is not recorded", hook_id=hook.id, error=type(error).__name__)
    return fired


# ---- behind the facts ------------------------------------------------------------------------------------------------


@ticks(FOLLOW)
async def follow_outbox(tick: Tick) -> None:
    while await tick.write(enqueue_happenings):
        pass


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
