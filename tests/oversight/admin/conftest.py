"""A command that keeps versions of memories: nothing of the product writes them yet."""

from collections.abc import Iterator

import pytest

from models.staff.memory import MemoryTier
from resolvers.kernel.declarations.operation import NO_SURFACE, OPERATIONS
from resolvers.kernel.declarations.outputs import Output
from resolvers.kernel.ground.inputs import Id, Input, Prompt, Text
from resolvers.kernel.ground.policy import Action
from resolvers.kernel.writing.command import command
from resolvers.kernel.writing.context import Context
from resolvers.rules.memory_versions import keep_version


class Remember(Input):
    path: Text
    content: Prompt
    author: Id = ""


class Remembered(Output):
    id: str


@pytest.fixture(autouse=True, scope="module")
def remembering() -> Iterator[None]:
    """Nothing of the product writes memories yet."""

    @command("test.remember", Action.CREATE, surfaces=NO_SURFACE, late=True)
    async def remember(ctx: Context, data: Remember) -> Remembered:
        """Keep a version."""
        tier = MemoryTier.agent if data.path.startswith("agent:") else MemoryTier.workspace
        made = await keep_version(ctx, data.path, tier, data.content.encode(), written_by=data.author)
        return Remembered(id=made.id)

    yield
    del OPERATIONS["test.remember"]
