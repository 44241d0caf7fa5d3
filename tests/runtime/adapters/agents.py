"""Runs of our own agent against a `Vendor`, with tools that remember how they were used."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import SecretStr

from models.staff.agents import LlmProvider
from resolvers.instance.settings import load_settings
from resolvers.rules.content_scan import scan
from resolvers.rules.redaction import Redactor
from runtime.adapters import adapter_for
from runtime.adapters.loop import Backoff
from runtime.runs.job import Adapter, Job, Outcome
from runtime.runs.keys import ProviderKey
from tests.runtime.adapters.sinks import Event, Journal, job
from tests.runtime.adapters.vendors import Vendor

KEY = "sk-test-0123456789abcdefghijklmnop"
SECRET = "the-value-of-a-credential"
QUICK = Backoff(retries=3, first=0.01, longest=0.02, patience=0.5)


@dataclass
class Result:
    content: str
    is_error: bool = False


@dataclass
class Lookup:
    """A tool that remembers how it was used."""

    name: str = "lookup"
    answer: str = "it is 42"
    is_error: bool = False
    used: list[dict[str, Any]] = field(default_factory=list)
    description: str = "Looks something up"
    parameters: Mapping[str, Any] = field(
        default_factory=lambda: {"type": "object", "properties": {"q": {"type": "string"}}, "required": ["q"]}
    )
    fails: Exception | None = None

    async def run(self, arguments: dict[str, Any]) -> Result:
        self.used.append(arguments)
        if self.fails is not None:
            raise self.fails
        return Result(self.answer, self.is_error)


class OneKey:
    def __init__(self, server: Vendor, key: str | None = KEY, before: str | None = None) -> None:
        async def find() -> SecretStr | None:
            return SecretStr(before) if before else None

        self.access = ProviderKey(SecretStr(key) if key else None, server.base_url, find)

    async def find(self, workspace_id: str, provider: LlmProvider) -> ProviderKey | None:
        return self.access


def provider(server: Vendor) -> LlmProvider:
    return LlmProvider.OPENAI if server.wire == "openai" else LlmProvider.ANTHROPIC


async def adapter(
    server: Vendor,
    work: Job,
    *tools: Lookup,
    key: str | None = KEY,
    before: str | None = None,
    backoff: Backoff = QUICK,
) -> Adapter:
    settings = load_settings(run_adapter="native")
    known = Redactor([KEY, SECRET])
    chosen = {tool.name: tool for tool in tools}
    return await adapter_for(
        work,
        settings,
        keys=OneKey(server, key, before),
        tools=chosen,
        scan=scan,
        redactor=known,
        cwd="/output/viktor",
        backoff=backoff,
    )


async def run(
    server: Vendor,
    journal: Journal,
    *tools: Lookup,
    key: str | None = KEY,
    before: str | None = None,
    crash: Mapping[str, str] | None = None,
    **changes: Any,
) -> Outcome:
    work = job(changes.pop("prompt", "What is it?"), provider=provider(server), model="m-1", **changes)
    made = await adapter(server, work, *tools, key=key, before=before)
    return await made.run(work, journal.attempt(**(crash or {})))


def shown(events: list[Event]) -> list[tuple[str, str, dict[str, Any] | None]]:
    return [(str(event.type), event.content, event.metadata) for event in events]
