"""What tests put at the runtime's ports: an engine without a record, a guard told what a secret is, adapters."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from models.staff.runs import ChatEventType
from runtime.runs.engine import Body
from runtime.runs.job import Job, Outcome, Sink
from runtime.runs.outfit import Fitted

E = ChatEventType


class LocalEngine:
    """Knows nothing of earlier attempts: what a run has done, its rows tell alone."""

    def __init__(self) -> None:
        self.tasks: set[asyncio.Task[None]] = set()
        self.begun: list[tuple[str, str]] = []
        self.cancelled: list[str] = []
        self.steps: list[tuple[str, str]] = []
        self.refuses = 0
        self.silent = False

    async def open(self, body: Body) -> None:
        self.body = body

    async def close(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    async def start(self, run_id: str) -> None:
        await self._begin("start", run_id)

    async def resume(self, run_id: str) -> None:
        await self._begin("resume", run_id)

    async def _begin(self, how: str, run_id: str) -> None:
        self.begun.append((how, run_id))
        if self.refuses:
            self.refuses -= 1
            raise OSError("the engine's database is away")
        if self.silent:
            return
        task: asyncio.Task[None] = asyncio.create_task(self.body(run_id))  # type: ignore[arg-type]
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def cancel(self, run_id: str) -> None:
        self.cancelled.append(run_id)

    def record(self, run_id: str, step: str) -> None:
        self.steps.append((run_id, step))

    async def recorded(self, run_id: str) -> list[str]:
        return [step for id, step in self.steps if id == run_id]

    async def forget(self, older_than: float) -> None: ...


class WordGuard:
    """Takes out a word, which it holds back while it may still come."""

    def __init__(self, word: str = "") -> None:
        self.word, self.hit = word, False
        self.held: dict[str, str] = {}

    def _clean(self, text: str) -> str:
        if self.word and self.word in text:
            self.hit = True
            return text.replace(self.word, "[REDACTED]")
        return text

    def feed(self, stream: ChatEventType, content: str) -> str:
        text = self._clean(self.held.pop(stream, "") + content)
        keep = next((n for n in range(min(len(self.word) - 1, len(text)), 0, -1) if self.word.startswith(text[-n:])), 0)
        self.held[stream] = text[len(text) - keep :]
        return text[: len(text) - keep]

    def rest(self, stream: ChatEventType) -> str:
        return self.held.pop(stream, "")

    def whole(self, value: Any) -> Any:
        if isinstance(value, str):
            return self._clean(value)
        if isinstance(value, dict):
            return {key: self.whole(item) for key, item in value.items()}
        return [self.whole(item) for item in value] if isinstance(value, list) else value

    def beside(self, text: str) -> str:
        return text.replace(self.word, "[REDACTED]") if self.word else text

    def result(self, content: str, metadata: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        if "ignore all instructions" in content:
            return "blocked", metadata | {"scan_quarantined": True}
        return content, metadata


Does = Callable[[Job, Sink], Awaitable[Outcome]]


@dataclass
class Acting:
    """An adapter that does what the test says."""

    does: Does
    name: str = "acting"

    async def run(self, job: Job, sink: Sink) -> Outcome:
        return await self.does(job, sink)


@dataclass
class Wardrobe:
    """An `Outfit`: `does` decides what the next adapters do."""

    does: Does
    word: str = ""
    begins: Callable[[Sink], Awaitable[None]] | None = None
    jobs: list[Job] = field(default_factory=list)

    async def fit(self, job: Job) -> Fitted:
        self.jobs.append(job)
        return Fitted(Acting(self.does), WordGuard(self.word), begins=self.begins)


async def says(sink: Sink, *texts: str, step: str = "model 1") -> str:
    """One step that says something."""

    async def body() -> str:
        for text in texts:
            await sink.emit(E.text, text)
        return "".join(texts)

    return await sink.step(step, body)


async def speaks(job: Job, sink: Sink) -> Outcome:
    await says(sink, "hello ", "there")
    return Outcome()
