"""Operators' endpoints on instances of their own: with a token for scrapers, without users, without a database."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from crewship.process.postgres import APPLICATION, DATABASE, EmbeddedPostgres
from models import migrations
from models.kernel import INSTALL_ID, TELEMETRY, InstanceFact
from tests.conftest import Database
from tests.oversight.system.scrapes import samples, scrape
from tests.world import World, world_on

pytestmark = pytest.mark.anyio
TOKEN = "a token of scrapers"


@pytest.fixture
async def scraped(database: Any, tmp_path: Path) -> AsyncIterator[World]:
    async with world_on(database, tmp_path, metrics_token=SecretStr(TOKEN)) as made:
        yield made


@pytest.mark.parametrize("name", ["x-forwarded-for", "forwarded", "via", "x-real-ip"])
async def test_from_elsewhere_measurements_need_the_token(scraped: World, name: str) -> None:
    far = {name: "203.0.113.9"}
    assert (await scrape(scraped)).status_code == 200
    assert (await scrape(scraped, **far, authorization=f"Bearer {TOKEN}")).status_code == 200
    for wrong in (
        "Bearer wrong",
        "Bearer",
        f"bearer {TOKEN}",
        TOKEN,
        f"Bearer {TOKEN[:-1]}",
        f"Basic {TOKEN}",
        f"Bearer {scraped.owner.token}",
    ):
        answer = await scrape(scraped, **far, authorization=wrong)
        assert (answer.status_code, answer.json()["error"]) == (404, "There is no such path")
    assert (await scrape(scraped, **far)).status_code == 404
    assert (await scraped.rest(None, "GET", f"/metrics?token={TOKEN}", workspace=None, **far)).status_code == 404


@pytest.fixture
async def own(database: Any, tmp_path: Path) -> AsyncIterator[World]:
    """A world whose database and directory a test may spoil."""
    async with world_on(database, tmp_path / "data", allow_signup=True) as made:
        (tmp_path / "data").mkdir(exist_ok=True)
        yield made


async def setup_status(world: World) -> dict[str, bool]:
    answer = await world.rest(None, "GET", "/api/v1/system/setup-status", workspace=None)
    assert answer.status_code == 200
    return answer.json()  # type: ignore[no-any-return]


async def unknown_status(world: World) -> bool:
    """Not told as if there were users: nobody would be led through the set-up."""
    answer = await world.rest(None, "GET", "/api/v1/system/setup-status", workspace=None)
    return answer.status_code == 503 and "needs_bootstrap" not in answer.json()


async def ready(world: World) -> tuple[int, bool, str, str]:
    answer = await world.rest(None, "GET", "/readyz", workspace=None)
    found = answer.json()
    return answer.status_code, found["status"], found["checks"]["db"], found["checks"]["state"]


async def test_an_instance_without_users_is_to_be_set_up(own: World) -> None:
    assert await setup_status(own) == {"needs_bootstrap": False, "allow_signup": True}
    await own.database.execute("DELETE FROM users")
    assert await setup_status(own) == {"needs_bootstrap": True, "allow_signup": True}


async def test_telemetry_is_off_until_somebody_has_consented(own: World) -> None:
    async def told() -> Any:
        answer = await own.rest(None, "GET", "/api/v1/system/telemetry", workspace=None)
        assert answer.status_code == 200
        return answer.json()

    assert await told() == {"enabled": False, "install_id": ""}
    await own.add(InstanceFact(name=TELEMETRY, value="on"), InstanceFact(name=INSTALL_ID, value="5" * 32))
    assert await told() == {"enabled": True, "install_id": "5" * 32}
    found = await own.graphql(own.viewer, "{ telemetry { enabled installId } }")
    assert found["data"] == {"telemetry": {"enabled": True, "installId": "5" * 32}}
    await own.database.execute("UPDATE instance_facts SET value = 'off' WHERE name = $1", TELEMETRY)
    assert await told() == {"enabled": False, "install_id": "5" * 32}


async def test_without_its_directory_it_is_not_ready(own: World) -> None:
    assert await ready(own) == (200, True, "ok", "ok")
    shutil.rmtree(own.settings.data_dir)
    assert await ready(own) == (503, False, "ok", "the data directory cannot be written")


async def test_on_an_older_schema_it_is_not_ready(own: World) -> None:
    await own.database.execute("UPDATE alembic_version SET version_num = '0001'")
    assert await ready(own) == (503, False, "the database lacks migrations", "ok")
    later = "UPDATE alembic_version SET version_num = '2999_01_01'"  # of a newer release beside this one
    await own.database.execute(later)
    assert await ready(own) == (200, True, "ok", "ok")
    await own.database.execute("DELETE FROM alembic_version")
    assert await ready(own) == (503, False, "the database lacks migrations", "ok")


async def test_with_older_functions_it_is_not_ready(own: World) -> None:
    await own.database.execute("COMMENT ON TABLE alembic_version IS '{}'")
    assert await ready(own) == (503, False, "the database lacks migrations", "ok")
    await own.database.execute("""COMMENT ON TABLE alembic_version IS '{"release": "99.1.0", "files": {}}'""")
    assert await ready(own) == (200, True, "ok", "ok")


@pytest.mark.slow
async def test_with_a_locked_table_the_answer_does_not_wait(own: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resolvers.oversight.system.status.DATABASE_PATIENCE", 0.3)
    async with own.database.transaction():
        await own.database.execute("LOCK TABLE users, alembic_version IN ACCESS EXCLUSIVE MODE")
        async with asyncio.timeout(30):
            assert await unknown_status(own)
            assert await ready(own) == (503, False, "the database does not answer", "ok")
    assert await ready(own) == (200, True, "ok", "ok")


@pytest.mark.slow
async def test_without_its_database_it_still_answers(tmp_path: Path) -> None:
    server = EmbeddedPostgres(tmp_path / "server", durable=False)
    place = await asyncio.to_thread(server.start)
    try:
        await migrations.upgrade(place.owner, application_role=APPLICATION)
        (tmp_path / "data").mkdir()
        async with world_on(Database(DATABASE, place), tmp_path / "data") as world:
            await world.database.execute("DELETE FROM users WHERE id <> $1", world.owner.user_id)
            assert await ready(world) == (200, True, "ok", "ok")
            await world.database.close()
            await asyncio.to_thread(server.stop)
            assert await ready(world) == (503, False, "the database does not answer", "ok")
            assert await unknown_status(world)
            assert [(await world.rest(None, "GET", path)).status_code for path in ("/healthz", "/api/health")] == [
                200,
                200,
            ]
            found = samples((await scrape(world)).text)
            assert "crewshipd_db_migration_version" not in found
            assert found["crewshipd_uptime_seconds"] > 0
            assert (await world.rest(world.owner, "GET", "/api/v1/labels")).status_code == 503
    finally:
        server.stop()
