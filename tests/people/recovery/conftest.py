from collections.abc import AsyncIterator
from typing import Any

import pytest
from pydantic import SecretStr

from tests.people.recovery.mailbox import Mailbox, delivering, listening
from tests.world import World, world_on

PLACE = "https://crew.example.com"


@pytest.fixture(scope="module")
def mailbox() -> Mailbox:
    return Mailbox()


@pytest.fixture(scope="module")
async def world(
    module_database: Any, mailbox: Mailbox, tmp_path_factory: pytest.TempPathFactory, anyio_backend: str
) -> AsyncIterator[World]:
    """With a mail server, and a worker that looks often."""
    async with listening(mailbox) as port:
        mail = {"smtp_url": SecretStr(f"smtp://127.0.0.1:{port}"), "mail_from": "Crewship <no-reply@example.com>"}
        async with (
            world_on(module_database, tmp_path_factory.mktemp("data"), public_url=PLACE, **mail) as made,
            delivering(made),
        ):
            yield made
