"""The world of generated cases: the running service, a row of every entity in two workspaces, calls without a trace."""

import contextlib
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from shutil import rmtree
from typing import Any

import asyncpg
import httpx2
import pytest

from resolvers.errors import Code
from resolvers.instance.running import instance
from resolvers.kernel.declarations.operation import Auth, Operation
from tests.generation import surfaces
from tests.generation.domains import Plot, recipe_of
from tests.generation.recipes import PASSWORD
from tests.generation.recorder import Recorder
from tests.generation.surfaces import Call, Outcome
from tests.transport import Transport
from tests.world import Person, World, world_on

OWN = "\0own"  # stands for the workspace of the world


LOGS_OF_REFUSALS = frozenset({"webhook_receipts"})


class Estate:
    """`home` is the workspace the cases work in, `away` the other tenant's."""

    def __init__(self, world: World, home: Plot, away: Plot, client: httpx2.AsyncClient, recorder: Recorder) -> None:
        self.world, self.home, self.away, self.client, self.recorder = world, home, away, client, recorder

    def person(self, name: str) -> Person:
        return self.world.people[name]

    def caller(self, op: Operation[Any]) -> Person | None:
        """The caller of an operation."""
        if op.auth is Auth.INTERNAL:
            token = self.world.settings.internal_token
            return Person(surfaces.MACHINE, self.world.owner.user_id, "", token.get_secret_value() if token else "")
        return None if op.auth is Auth.NONE else self.person(recipe_of(op.name).person)

    async def call(
        self,
        surface: str,
        op: Operation[Any],
        raw: Mapping[str, Any],
        person: Person | None,
        *,
        workspace: str | None = OWN,
        keep: bool = False,
        **more: Any,
    ) -> Outcome:
        """One call, with what it changed; then everything is as it was, unless `keep`."""
        cookies = recipe_of(op.name).cookies
        if cookies is not None:
            more.setdefault("cookies", cookies(self))
        call = Call(op, raw, person, self.home.workspace.id if workspace == OWN else workspace, **more)
        outcome = await (surfaces.by_rest if surface == "rest" else surfaces.by_graphql)(self.client, call)
        outcome.changes = await self.recorder.changes()
        if (
            outcome.code and not keep and getattr(op, "refused", None) is not None
        ):  # what it notes is the domain's to test
            outcome.changes = [change for change in outcome.changes if change.table not in LOGS_OF_REFUSALS]
        if self.recorder.dirty and not keep:
            await self.recorder.undo()
            files = self.world.settings.storage_path / "workspaces" / self.home.workspace.id / "crews"
            rmtree(files, ignore_errors=True)
        # whatever is asked, nothing breaks; the next case begins as this one did
        assert outcome.code != Code.INTERNAL, f"{op.name}: {outcome}"
        return outcome


@contextlib.asynccontextmanager
async def estate_on(database: Any, directory: Path, **settings: Any) -> AsyncIterator[Estate]:
    async with world_on(database, directory, **settings) as world:
        superuser = await asyncpg.connect(database.server.dsn("postgres", database.name))
        recorder = Recorder(superuser)
        client = httpx2.AsyncClient(base_url=world.url, timeout=30, transport=Transport())
        try:
            home = Plot(world.workspace, world.owner, await world.person("extra", None))
            away = Plot(world.other, world.outsider, await world.person("stranger", None))
            await world.add(*home.all(), *away.all())
            hash = await instance.passwords.hash(PASSWORD)
            await world.database.execute("UPDATE users SET password_hash = $1 WHERE id = $2", hash, world.owner.user_id)
            await recorder.install()
            yield Estate(world, home, away, client, recorder)
        finally:
            await client.aclose()
            await superuser.close()


@pytest.fixture(scope="module")
async def estate(
    module_database: Any, tmp_path_factory: pytest.TempPathFactory, anyio_backend: str
) -> AsyncIterator[Estate]:
    async with estate_on(
        module_database, tmp_path_factory.mktemp("estate"), row_level_security=True, allow_signup=True
    ) as made:
        yield made


__all__ = ["Estate", "estate", "estate_on"]
