"""Deliveries to webhooks of a yard of routines, through the dispatcher of REST."""

import asyncio
import hmac
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import orjson

from resolvers.identity import credentials
from resolvers.identity.caller import Caller
from resolvers.identity.webhook_senders import read_routine_claim
from resolvers.work import routine_webhooks
from tests.work.routine_runs.yard import RoutineYard

SECRET = "topsecret"


@dataclass
class Hook:
    """A webhook with its token."""

    yard: RoutineYard
    id: str
    token: str
    secret: str

    async def send(
        self, body: Any = None, *, secret: str | None = None, stamp: str | None = None, **headers: str
    ) -> Any:
        """The answer to a signed delivery, or its Refusal. Names of headers have _ in place of -."""
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        signed = raw if stamp is None else f"{stamp}.".encode() + raw
        made = hmac.digest((secret or self.secret).encode(), signed, "sha256").hex()
        sent = {b"x-crewship-signature": f"sha256={made}".encode()}
        sent |= {} if stamp is None else {b"x-crewship-timestamp": stamp.encode()}
        sent |= {name.replace("_", "-").encode(): value.encode() for name, value in headers.items()}
        return await self.deliver(raw, sent)

    async def deliver(self, raw: bytes, sent: dict[bytes, bytes]) -> Any:
        caller = credentials.webhook(sent, raw, client="203.0.113.7", forwarded=False, read=read_routine_claim)
        shown = {name.decode().replace("-", "_"): value.decode() for name, value in sent.items()}
        answer = await routine_webhooks.fire_routine_webhook(caller, {"token": self.token, "headers": shown})
        return orjson.loads(answer.body or b"null")

    async def row(self) -> Any:
        return await self.yard.found("SELECT * FROM routine_webhooks WHERE id = $1", self.id)

    async def until(self, reached: Callable[[Any], bool], seconds: float = 20.0) -> Any:
        async with asyncio.timeout(seconds):
            while not reached(found := await self.row()):
                await asyncio.sleep(0.02)
        return found

    async def runs(self) -> int:
        sql = "SELECT count(*) FROM routine_runs WHERE webhook_id = $1"
        return await self.yard.estate.owner.fetchval(sql, self.id)  # type: ignore[no-any-return]


async def made(yard: RoutineYard, routine: Any, caller: Caller | None = None, **raw: Any) -> Hook:
    sent = {"target_pipeline_slug": routine.slug, "signing_secret": SECRET, **raw}
    answer = await yard.ask(routine_webhooks.create_routine_webhook, sent, caller=caller)
    return Hook(yard, answer["id"], answer["token"], answer["signing_secret"])
