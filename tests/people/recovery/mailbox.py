"""A mail server that keeps what it is handed, and a worker that hands it over."""

import asyncio
import contextlib
import re
import ssl
from collections.abc import AsyncIterator
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

from aiosmtpd.smtp import SMTP, Envelope, Session

from runtime.engine.background import carried
from runtime.engine.liveness import Rhythm
from runtime.engine.service import Runtime
from tests.runtime.doubles import Wardrobe, speaks
from tests.world import World

QUICK = Rhythm(sweep=0.2, patience=0.5, measure=0.2, retry=0.1)
LINK = re.compile(r"https?://\S+")


class Mailbox:
    """`refusing`: answers to what is handed over, used up one by one; None is to take it."""

    def __init__(self) -> None:
        self.mails: list[EmailMessage] = []
        self.refusing: list[str | None] = []
        self.tried = 0

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        self.tried += 1
        if self.refusing and (refusal := self.refusing.pop(0)) is not None:
            return refusal
        content: Any = envelope.content
        mail: Any = message_from_bytes(content, policy=policy.default)
        self.mails.append(mail)
        return "250 OK"

    def to(self, address: str) -> list[EmailMessage]:
        return [mail for mail in self.mails if mail["to"] == address]

    async def arrived(self, address: str, number: int = 1, seconds: float = 20.0) -> EmailMessage:
        """The newest mail to an address, once there are so many."""
        async with asyncio.timeout(seconds):
            while len(self.to(address)) < number:
                await asyncio.sleep(0.02)
        return self.to(address)[-1]

    async def link(self, address: str, number: int = 1) -> str:
        found = LINK.findall(text_of(await self.arrived(address, number)))
        return found[-1]


def text_of(mail: EmailMessage) -> str:
    text: str = mail.get_content()
    return text


@contextlib.asynccontextmanager
async def listening(mailbox: Mailbox, tls: ssl.SSLContext | None = None, **options: Any) -> AsyncIterator[int]:
    """The port of a server on loopback. `tls`: from the first byte; other options are the protocol's."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(mailbox, loop=loop, **options), "127.0.0.1", 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


@contextlib.asynccontextmanager
async def delivering(world: World) -> AsyncIterator[None]:
    """This process carries out the jobs of the world."""
    runtime = Runtime(world.settings, Wardrobe(speaks), jobs=carried(), rhythm=QUICK)
    await runtime.start()
    try:
        yield
    finally:
        await runtime.stop()


async def idle(world: World, seconds: float = 20.0) -> None:
    """Until no job waits or runs."""
    sql = (
        "SELECT count(*) FROM dbos.workflow_status WHERE queue_name LIKE 'job:%' AND status IN ('ENQUEUED', 'PENDING')"
    )
    async with asyncio.timeout(seconds):
        while await world.database.fetchval(sql):
            await asyncio.sleep(0.02)
