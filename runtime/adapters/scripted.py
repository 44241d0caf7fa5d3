"""An agent that does what the message says, word for word, without model or network: every event and ending at will.

A message of JSON `{"script": [step, ...]}` is carried out; any other is echoed. A step has one of these keys:

- `text`, `thinking`: a text, or a list of pieces, `delay` seconds apart
- `tool`: {name, input, result, is_error}: a call and its result; `times` repeats it
- `append`: {file, line}: a line at the end of a file in the directory CREWSHIP_SCRIPT_DIR; `hold` keeps the step open
  for seconds after it
- `image`: base64, with `media_type`; `big`: that many characters of text; `sleep`: seconds
- `call`: {model, provider, input_tokens, output_tokens, cached_input_tokens, cache_creation_tokens, cost_usd}: a call
  of a model that used and cost as much; `delay` seconds long; `times` repeats it
- `emit`: {type, content, metadata}: any event an adapter may show; `usage`: what the result event says was used
- `fail`: ends the run with that text; `raise`: an unexpected exception; `exit`: ends the run with that code
"""

import asyncio
import json
import os
import re
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeInt,
    StringConstraints,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from models.bounds import LINE
from models.staff.runs import ChatEventType, SystemEvent
from resolvers.resources.costs.money import micros
from runtime.runs.job import Charge, Failed, Job, Outcome, Sink, over_budget
from runtime.runs.prompt import estimate

MODEL = "scripted"
DIRECTORY = "CREWSHIP_SCRIPT_DIR"
LONGEST_WAIT = 3600.0
LARGEST = 8 << 20
MOST_STEPS = 1000
ECHO_PIECES = 20
SHOWN = (
    ChatEventType.status,
    ChatEventType.text,
    ChatEventType.thinking,
    ChatEventType.tool_call,
    ChatEventType.tool_result,
    ChatEventType.image,
    ChatEventType.system,
    ChatEventType.result,
    ChatEventType.error,
)

Wait = Annotated[float, Field(ge=0, le=LONGEST_WAIT)]
Tokens = Annotated[int, Field(ge=0, le=1 << 40)]
Pieces = str | list[str]


class _Given(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


class ScriptedUse(_Given):
    name: str = "tool"
    input: dict[str, Any] = {}
    result: str = "done"
    is_error: bool = False


class Call(_Given):
    model: Annotated[str, Field(max_length=LINE)] = MODEL
    provider: Annotated[str, Field(max_length=LINE)] = MODEL
    input_tokens: Tokens = 0
    output_tokens: Tokens = 0
    cached_input_tokens: Tokens = 0
    cache_creation_tokens: Tokens = 0
    cost_usd: Annotated[float, Field(ge=0, le=1_000_000)] | None = None


class Append(_Given):
    file: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-][A-Za-z0-9_.-]{0,63}$")]
    line: str = ""


class ScriptedFrame(_Given):
    type: ChatEventType
    content: str = ""
    metadata: dict[str, Any] | None = None

    @model_validator(mode="after")
    def _an_adapters(self) -> "ScriptedFrame":
        if self.type not in SHOWN:
            raise ValueError(f"type must be one of {', '.join(SHOWN)}")
        return self


class Step(_Given):
    """One key names the action; `delay`, `times`, `hold` and `media_type` modify it."""

    text: Pieces | None = None
    thinking: Pieces | None = None
    tool: ScriptedUse | None = None
    append: Append | None = None
    call: Call | None = None
    image: str | None = None
    big: Annotated[int, Field(ge=0, le=LARGEST)] | None = None
    sleep: Wait | None = None
    emit: ScriptedFrame | None = None
    usage: dict[str, NonNegativeInt] | None = None
    fail: str | None = None
    raise_: Annotated[Literal[True] | None, Field(alias="raise")] = None
    exit: Annotated[int, Field(ge=0, le=255)] | None = None
    delay: Wait = 0.0
    hold: Wait = 0.0
    times: Annotated[int, Field(ge=1, le=MOST_STEPS)] = 1
    media_type: str = "image/png"

    @property
    def verb(self) -> str:
        return next(iter(self.model_fields_set - {"delay", "hold", "times", "media_type"}))

    @model_validator(mode="after")
    def _one_verb(self) -> "Step":
        if len(self.model_fields_set - {"delay", "hold", "times", "media_type"}) != 1:
            raise ValueError("a step does exactly one thing")
        return self


_SCRIPT = TypeAdapter(Annotated[list[Step], Field(max_length=MOST_STEPS)])


def script_of(prompt: str, name: str = "") -> list[Step]:
    """Raises Failed for a script that cannot be carried out, naming the first step that is wrong."""
    try:
        given = json.loads(prompt)
    except (ValueError, RecursionError):
        given = None
    if not isinstance(given, dict) or "script" not in given:
        words = re.split(r"(?<=\S)(?=\s)", f"{name or 'Echo'}: {prompt}")
        size = -(-len(words) // ECHO_PIECES)
        return [Step(text=["".join(words[i : i + size]) for i in range(0, len(words), size)])]
    try:
        return _SCRIPT.validate_python(given["script"])
    except ValidationError as refused:
        error = refused.errors(include_input=False, include_url=False)[0]
        where = (
            f"step {int(error['loc'][0]) + 1}" if error["loc"] and isinstance(error["loc"][0], int) else "the script"
        )
        raise Failed(f"Bad script, {where}: {error['msg'].removeprefix('Value error, ')}") from None


class ScriptedAdapter:
    name = "scripted"

    async def run(self, job: Job, sink: Sink) -> Outcome:
        steps = script_of(job.prompt, job.agent.name)
        began = await sink.step("0 init", lambda: _init(sink))
        said, spent = "", 0.0
        usage = {
            "input_tokens": estimate(job.prompt),
            "output_tokens": 0,
            "cache_read_input_tokens": 0,
            "cache_creation_input_tokens": 0,
        }
        used = 0
        for number, step in enumerate(steps, 1):
            if step.fail is not None:
                raise Failed(step.fail)
            if step.raise_:
                raise RuntimeError(f"Step {number} of the script says so")
            if step.exit is not None:
                return Outcome(
                    error=f"The agent ended with code {step.exit}" if step.exit else None, exit_code=step.exit
                )
            if step.usage is not None:
                usage |= step.usage
                continue
            if step.call is not None:
                for turn in range(1, step.times + 1):
                    if job.max_tokens is not None and used >= job.max_tokens:
                        return Outcome(error=f"The run has used its {job.max_tokens:,} tokens")
                    if job.max_cost is not None and spent * 1_000_000 >= max(job.max_cost, 1):
                        return over_budget(job.max_cost)
                    used += await _call_model(sink, f"{number}.{turn}", step)
                    spent += step.call.cost_usd or 0.0
                usage |= _used(usage, step.call, step.times)
                continue
            said += await _carry_out(sink, number, step)
        if usage["output_tokens"] == 0:
            usage["output_tokens"] = estimate(said)
        return await _end(sink, began, said, usage, spent)


async def _init(sink: Sink) -> float:
    await sink.emit(
        ChatEventType.system,
        "init",
        {"subtype": SystemEvent.init.value, "model": MODEL, "tools": ["tool", "append"], "cwd": "", "mcp_servers": []},
    )
    return time.time()


async def _call_model(sink: Sink, id: str, step: Step) -> int:
    """Gives the tokens that it used."""
    call = step.call or Call()

    async def body() -> int:
        await asyncio.sleep(step.delay)
        tokens = (call.input_tokens, call.output_tokens, call.cached_input_tokens, call.cache_creation_tokens)
        sink.charge(Charge(call.provider, call.model, *tokens, micros(call.cost_usd)))
        await asyncio.sleep(step.hold)
        return sum(tokens)

    return await sink.step(f"{id} model", body)


def _used(usage: dict[str, int], call: Call, times: int) -> dict[str, int]:
    return {
        "input_tokens": usage["input_tokens"] + times * call.input_tokens,
        "output_tokens": usage["output_tokens"] + times * call.output_tokens,
        "cache_read_input_tokens": usage["cache_read_input_tokens"] + times * call.cached_input_tokens,
        "cache_creation_input_tokens": usage["cache_creation_input_tokens"] + times * call.cache_creation_tokens,
    }


async def _end(sink: Sink, began: float, said: str, usage: dict[str, int], spent: float) -> Outcome:
    known: dict[str, Any] = {
        "num_turns": 1,
        "total_cost_usd": spent,
        "usage": usage,
        "model_usage": {MODEL: {"inputTokens": usage["input_tokens"]}},
    }

    async def body() -> None:
        took = round((time.time() - began) * 1000)
        await sink.emit(
            ChatEventType.result,
            said,
            {"subtype": "success", "duration_ms": took, "duration_api_ms": 0, "is_error": False, **known},
        )

    await sink.step("end", body)
    return Outcome(exit_code=0, data={"model": MODEL, **known})


async def _carry_out(sink: Sink, number: int, step: Step) -> str:
    """Returns the text of the step."""
    said = ""
    for turn in range(1, step.times + 1):
        id = str(number) if step.times == 1 else f"{number}.{turn}"
        body = partial(_BODIES[step.verb], sink, id, step)
        said += await sink.step(f"{id} {step.verb}", body, acts=step.verb in ("tool", "append"))
    return said


async def _text(sink: Sink, id: str, step: Step) -> str:
    pieces = step.text if step.text is not None else step.thinking
    kind, metadata = (
        (ChatEventType.text, None) if step.text is not None else (ChatEventType.thinking, {"streaming": True})
    )
    for at, piece in enumerate([pieces] if isinstance(pieces, str) else pieces or []):
        if at or isinstance(pieces, str):
            await asyncio.sleep(step.delay)
        await sink.emit(kind, piece, metadata)
    return "".join(pieces or "") if step.text is not None else ""


async def _tool(sink: Sink, id: str, step: Step) -> str:
    use = step.tool or ScriptedUse()
    await _call(sink, id, use.name, use.input)
    await asyncio.sleep(step.delay)
    await _answer(sink, id, use.result, use.is_error)
    await asyncio.sleep(step.hold)
    return ""


async def _append(sink: Sink, id: str, step: Step) -> str:
    given = step.append
    assert given is not None
    await _call(sink, id, "append", given.model_dump())
    await asyncio.sleep(step.delay)
    error = await asyncio.to_thread(_write, given)
    await _answer(sink, id, error or f"A line was added to {given.file}", error is not None)
    await asyncio.sleep(step.hold)
    return ""


def _write(given: Append) -> str | None:
    """The line is on disk when this returns; a text says why it is not."""
    directory = os.environ.get(DIRECTORY)
    if not directory:
        return f"{DIRECTORY} is not set, so there is nowhere to write"
    try:
        file = os.open(
            Path(directory) / given.file, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600
        )
        try:
            os.write(file, f"{given.line}\n".encode())
            os.fsync(file)
        finally:
            os.close(file)
    except OSError as error:
        return f"{given.file} cannot be written: {error.strerror}"
    return None


async def _call(sink: Sink, id: str, name: str, input: dict[str, Any]) -> None:
    await sink.emit(ChatEventType.tool_call, name, {"tool_name": name, "tool_id": f"t{id}", "input": input})


async def _answer(sink: Sink, id: str, content: str, is_error: bool) -> None:
    await sink.emit(
        ChatEventType.tool_result, content, {"tool_use_id": f"t{id}", **({"is_error": True} if is_error else {})}
    )


async def _image(sink: Sink, id: str, step: Step) -> str:
    await sink.emit(ChatEventType.image, step.image or "", {"media_type": step.media_type})
    return ""


async def _big(sink: Sink, id: str, step: Step) -> str:
    line = "All work and no play makes a dull agent. "
    text = (line * (1 + (step.big or 0) // len(line)))[: step.big]
    for at in range(0, len(text), 4096):
        await sink.emit(ChatEventType.text, text[at : at + 4096])
    return text


async def _sleep(sink: Sink, id: str, step: Step) -> str:
    await asyncio.sleep(step.sleep or 0)
    return ""


async def _emit(sink: Sink, id: str, step: Step) -> str:
    shown = step.emit
    assert shown is not None
    await sink.emit(shown.type, shown.content, shown.metadata)
    return shown.content if shown.type is ChatEventType.text else ""


_BODIES: dict[str, Callable[[Sink, str, Step], Awaitable[str]]] = {
    "text": _text,
    "thinking": _text,
    "tool": _tool,
    "append": _append,
    "image": _image,
    "big": _big,
    "sleep": _sleep,
    "emit": _emit,
}
