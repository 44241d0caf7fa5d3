"""The execution of an allowed command, with the secret in its environment and nowhere else.

The value is read when the command is about to run, not before. It is removed from the output in all its forms, in any
letter case.
"""

import asyncio
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import compress
from typing import Annotated, Final

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError
from sqlalchemy import select
from sqlmodel import col

from models.bounds import CREDENTIAL
from models.oversight.keeper import COMMAND, KeeperDecision, KeeperRequestType
from models.resources.credentials import (
    Credential,
    CredentialEvent,
    CredentialEventType,
    CredentialType,
)
from resolvers.attention.inbox.events import InboxItemUpdated
from resolvers.instance.ports import CommandOfAgent, NotRun, Ran
from resolvers.instance.vault import Revealed, Unopenable
from resolvers.kernel import NOW, Absent, Action, Auth, Code, Context, Emptied, Output, Refusal, command
from resolvers.oversight.keeper.commands import Inputs, fault_of, inputs_of
from resolvers.oversight.keeper.events import KeeperExecutionDecided
from resolvers.oversight.keeper.gatekeeper import judge
from resolvers.oversight.keeper.requests import NO_CREDENTIAL, AskKeeper, OpenedRequest, asking_of, decide, opened
from resolvers.resources.credentials.delivery import is_held
from resolvers.resources.credentials.hosts import hosts_of
from resolvers.resources.credentials.references import value_of
from resolvers.resources.credentials.variables import is_variable
from resolvers.rules.known_values import KnownValues
from resolvers.rules.redaction import Redactor, mark
from resolvers.rules.secret_forms import SHORTEST, forms_of

MARK: Final = mark("keeper-secret")
BLANK: Final = re.compile(r"\s")
BETWEEN: Final = re.compile(r"[\s:\\x,]")
"""The separators between two bytes of a dump."""


def scrubbed(text: str, secret: str) -> str:
    """Takes its time where both are long: it is called beside the loop."""
    at, shown = 0, list[str]()
    for start, end in sorted(_found(_lower(text), _lower(secret), secret)):
        if start >= at:
            shown += (text[at:start], MARK)
        at = max(at, end)
    return Redactor((secret,)).redact("".join((*shown, text[at:])))


def longest_form(secret: str) -> int:
    return max(map(len, forms_of(secret)), default=len(secret))


def _found(text: str, lowered: str, secret: str) -> Iterator[tuple[int, int]]:
    """Searches a text and its lower-case form; `secret`: unchanged, because encodings are derived from it."""
    if len(secret) < SHORTEST:
        yield from _places(text, lowered)
        return
    known = KnownValues.of_forms(map(_lower, forms_of(secret)))
    yield from known.tabulated(text)
    for shard in range(known.shards):
        yield from known.short(shard, text, 0)
    apart = BLANK.sub("", lowered)
    if len(apart) >= SHORTEST:
        yield from _apart(text, BLANK, (apart, apart[::-1]))
    yield from _apart(text, BETWEEN, (secret.encode(errors="surrogatepass").hex(),))


def _apart(text: str, between: re.Pattern[str], values: tuple[str, ...]) -> Iterator[tuple[int, int]]:
    """Values with something between their letters."""
    left_out = bytearray(b"\1") * len(text)
    for match in between.finditer(text):
        left_out[match.start()] = 0
    kept = list(compress(range(len(text)), left_out))
    joined = "".join(compress(text, left_out))
    for value in values:
        for start, end in _places(joined, value):
            yield kept[start], kept[end - 1] + 1


def _places(text: str, value: str) -> Iterator[tuple[int, int]]:
    at = text.find(value) if value else -1
    while at >= 0:
        yield at, at + len(value)
        at = text.find(value, at + len(value))


def _lower(text: str) -> str:
    """Lower case of the same length."""
    lowered = text.lower()
    if len(lowered) == len(text):
        return lowered
    return "".join(small if len(small := letter.lower()) == 1 else letter for letter in text)


SECONDS: Final = 60.0
LARGEST: Final = 512 << 10  # bytes of output
LARGEST_VALUE: Final = 100_000  # bytes: the kernel takes no longer variable than 128 KiB
COULD_NOT_RUN: Final = -1
OTHERWISE: Final = "KEEPER_SECRET"
NO_SANDBOX: Final = "The command was allowed, but there is no sandbox to run it in"
NO_VALUE: Final = "The command was allowed, but the credential has no secret for commands"


def _command(text: str) -> str:
    if fault := fault_of(text):
        raise PydanticCustomError("command", fault)
    return text


def _variable(text: str) -> str:
    if not is_variable(text):
        raise PydanticCustomError("variable", "must be a variable name that does not control the shell or the loader")
    return text


class ExecuteCommand(AskKeeper):
    """`command` is one program with its arguments. `container_id` is the id of the agent's crew, or of the agent if
    it has no crew. `env_var` is the variable that holds the secret.
    """

    command: Annotated[str, Field(strict=True, min_length=1, max_length=COMMAND), AfterValidator(_command)]
    container_id: Annotated[str, Field(strict=True, min_length=1, max_length=CREDENTIAL)]
    env_var: Emptied[Annotated[str, Field(strict=True, max_length=CREDENTIAL), AfterValidator(_variable)]] = None


class ExecutionVerdict(Output):
    """The decision, and the output of the command if it ran. `exit_code` is left out while it is 0."""

    request_id: str
    decision: KeeperDecision
    reason: Annotated[str | None, Absent()]
    risk_score: int
    output: Annotated[str | None, Absent()] = None
    exit_code: Annotated[int | None, Absent()] = None


@dataclass(frozen=True, slots=True)
class ExecutionOutcome:
    """The result of an allowed command: its output, or the reason why it did not run."""

    exit_code: int | None = None
    output: str | None = None
    refusal: Refusal | None = None


@command(
    "internal.keeper.execute",
    Action.NONE,
    auth=Auth.INTERNAL,
    emits=(KeeperExecutionDecided, InboxItemUpdated),
    errors=(Code.UNAUTHENTICATED, Code.FORBIDDEN, Code.NOT_FOUND, Code.INTERNAL),
    writes_on_refusal=True,
    late=True,
)
async def execute_command(ctx: Context, data: ExecuteCommand) -> ExecutionVerdict:
    """Run a command with a credential (for agents).

    If the keeper allows it, runs in a sandbox for at most 60 seconds, with the secret in a variable. The command starts
    in an empty folder with an empty home. It can read the crew's files that it names by absolute path, as they were
    when the keeper decided; files it writes are discarded. If the credential's hosts are known, the variable contains a
    placeholder for the secret, and the command runs in the agent's own sandbox. The secret is removed from the output.
    """
    more = {"command": data.command, "container_id": data.container_id}
    request = await opened(ctx, data, KeeperRequestType.execute, **more)
    inputs = await inputs_of(ctx, data.command, agent_id=request.agent_id, crew_id=request.sandbox_crew_id)
    asking = asking_of(request, data.intent, data.command, inputs.files)
    verdict = await judge(ctx, request, KeeperRequestType.execute, asking)
    outcome = ExecutionOutcome()
    if verdict.decision is KeeperDecision.ALLOW:
        outcome = await _carried_out(ctx, request, data, inputs)
    await ctx.begin()
    decided = await decide(ctx, request, verdict, outcome.exit_code)
    if outcome.refusal is not None:
        raise outcome.refusal
    if outcome.exit_code is not None:
        await _used(ctx, request)
    return ExecutionVerdict(
        request_id=decided.id,
        decision=decided.decision,
        reason=decided.reason,
        risk_score=decided.risk_score or 0,
        output=outcome.output,
        exit_code=outcome.exit_code or None,
    )


async def _carried_out(ctx: Context, request: OpenedRequest, data: ExecuteCommand, inputs: Inputs) -> ExecutionOutcome:
    runner = ctx.outside.commands
    if runner is None:
        return ExecutionOutcome(refusal=_late(Code.INTERNAL, NO_SANDBOX))
    try:
        value, hosts = await _value(ctx, request)
    except Refusal as refusal:
        return ExecutionOutcome(refusal=refusal)
    secret = value.reveal()
    command = CommandOfAgent(
        request.workspace_id,
        request.agent_id,
        request.agent_slug,
        request.sandbox_crew_id,
        data.command,
        {data.env_var or variable_of(request): secret},
        SECONDS,
        reaches_out=True,
        given=inputs.files,
        hosts=hosts,
    )
    try:
        ran = await runner.run(command)
    except NotRun as failed:
        if failed.unavailable:
            return ExecutionOutcome(refusal=_late(Code.INTERNAL, NO_SANDBOX))
        return ExecutionOutcome(COULD_NOT_RUN, await asyncio.to_thread(scrubbed, str(failed), secret))
    output = await asyncio.to_thread(told, ran, secret)
    return ExecutionOutcome(ran.exit_code, output if ran.stood_in else f"{inputs.told()}{output}")


async def _value(ctx: Context, request: OpenedRequest) -> tuple[Revealed, frozenset[str]]:
    """The current value, and its hosts: a value that was just rotated counts, and a removed one does not exist."""
    secret = ctx.table(Credential).c
    held = (secret.id == request.credential_id, is_held(ctx.table, secret, request.agent_id))
    credential = await ctx.select(Credential, col(Credential.id) == request.credential_id).first()
    if credential is None or not await ctx.report(select(secret.id).where(*held)):
        raise _late(Code.NOT_FOUND, NO_CREDENTIAL)
    if credential.type is not CredentialType.SECRET or credential.value is None:
        raise _late(Code.INTERNAL, NO_VALUE)
    try:
        value = await value_of(credential.id, credential.value, credential.secret_ref)
    except (Unopenable, Refusal):  # of the store that the value is in
        raise _late(Code.INTERNAL, NO_VALUE) from None
    if "\0" in value.reveal() or not 0 < len(value.reveal().encode()) <= LARGEST_VALUE:
        raise _late(Code.INTERNAL, NO_VALUE)
    return value, hosts_of(credential)


def _late(code: Code, text: str) -> Refusal:
    """A refusal after the decision, which stays."""
    return Refusal(code, text, commit=True)


def variable_of(request: OpenedRequest) -> str:
    """The variable of the assignment, otherwise one derived from the credential's name."""
    made = re.sub(r"[^A-Z0-9]+", "_", request.credential_name.upper()).strip("_")
    return next((name for name in (request.variable, made) if is_variable(name)), OTHERWISE)


def told(ran: Ran, secret: str) -> str:
    """The output without a part of the secret: if it was truncated, it may end within the secret, so as much of its end
    is removed.
    """
    output = ran.output[: -longest_form(secret)] if ran.truncated else ran.output
    text = scrubbed(output.replace("\0", "\ufffd"), secret)
    return text.encode(errors="replace")[:LARGEST].decode(errors="ignore")


async def _used(ctx: Context, request: OpenedRequest) -> None:
    ctx.record(
        CredentialEvent(
            credential_id=request.credential_id,
            event_type=CredentialEventType.USE,
            agent_id=request.agent_id,
            details={"source": "keeper_execute"},
        )
    )
    await ctx.update_where(Credential, col(Credential.id) == request.credential_id, last_used_at=NOW)
