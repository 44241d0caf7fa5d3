"""Hostile requests to /graphql, and what they cost: bytes of the answer, and time of the thread that serves all."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx2
import orjson

from resolvers.identity.caller import Caller
from schema.bridge.worker import Party, Who
from tests.world import World

USER = Who(Caller.nobody(), Party(True, "user"))


@dataclass(frozen=True)
class Cost:
    """What one request came to. `busy`: seconds the event loop's thread computed, the client's own share included."""

    status: int
    body: bytes
    busy: float

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)

    @property
    def codes(self) -> set[str]:
        return {error["extensions"]["code"] for error in self.json["errors"]}


async def post(world: World, query: str, variables: Mapping[str, Any] | None = None, **headers: str) -> Cost:
    """Without a credential, unless a header brings one. What Python collects of other tests is not counted."""
    body = orjson.dumps({"query": query, "variables": variables or {}})
    async with httpx2.AsyncClient(base_url=world.url, timeout=120, verify=False) as client:
        await client.get("/healthz")
        started = time.thread_time()
        answer = await client.post("/graphql", content=body, headers={"content-type": "application/json", **headers})
        return Cost(answer.status_code, answer.content, time.thread_time() - started)
