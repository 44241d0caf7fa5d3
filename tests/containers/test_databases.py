"""PostgreSQL and Redis beside containers of a crew, as its agents use them: the real ones, of this machine."""

import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, Final

import orjson
import pytest

from resolvers.rules.services import parse_services
from runtime.containers.engine import ContainerEngine
from runtime.containers.place import CREW, SERVICE, CrewContainer
from runtime.containers.sandbox import ContainerSandbox
from runtime.containers.services import CrewServices
from runtime.sandbox.boundary import Limits
from runtime.sandbox.workdir import Workdir
from tests.containers.engines import IMAGE, running_engine, why_not, with_programs

POSTGRES, REDIS = "localhost/crewship-test/postgres:15", "localhost/crewship-test/redis:7"
SERVER: Final = Path("/usr/lib/postgresql/15")
SHARED: Final = Path("/usr/share/postgresql/15")
MISSING = [name for name in ("redis-server", "redis-cli") if shutil.which(name) is None]
MISSING += [] if (SERVER / "bin/postgres").exists() else ["postgresql-15"]
WHY_NOT = why_not() or (f"NOT INSTALLED, NOTHING IS PROVED: {', '.join(MISSING)}" if MISSING else "")
pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT)]
CREW_ID = "c" + "5" * 24
BEGINS = """
set -e
cd /data
if [ ! -d db ]; then
  mkdir db; chown postgres db; printf %s "$POSTGRES_PASSWORD" >word; chown postgres word
  su -s /bin/sh postgres -c "initdb -D /data/db -E UTF8 --locale=C -U postgres -A scram-sha-256 --pwfile=/data/word"
  rm word
fi
exec su -s /bin/sh postgres -c "exec postgres -D /data/db -k /data/db"
"""
SERVICES: list[dict[str, Any]] = [
    {
        "name": "db",
        "image": POSTGRES,
        "command": ["sh", "-c", BEGINS],
        "env": {"PATH": f"/bin:{SERVER}/bin", "TZ": "UTC"},
        "env_refs": ["POSTGRES_PASSWORD"],
        "ports": ["5432"],
        "volumes": [{"name": "data", "mount": "/data"}],
        "healthcheck": {"test": ["CMD-SHELL", "pg_isready -h 127.0.0.1"], "interval": "500ms", "retries": 100},
    },
    {
        "name": "cache",
        "image": REDIS,
        "command": ["sh", "-c", 'exec /usr/bin/redis-server --dir /data --appendonly yes --requirepass "$CACHE_WORD"'],
        "env_refs": ["CACHE_WORD"],
        "ports": ["6379/tcp"],
        "volumes": [{"name": "cache", "mount": "/data"}],
        "healthcheck": {
            "test": ["CMD-SHELL", '/usr/bin/redis-cli -a "$CACHE_WORD" ping | grep -q PONG'],
            "interval": "200ms",
            "retries": 100,
        },
    },
]
SECRETS = {"POSTGRES_PASSWORD": "of-the-database", "CACHE_WORD": "of-the-cache"}


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    programs = [str(SERVER / "bin" / name) for name in ("postgres", "initdb", "pg_isready")]
    loaded = [str(SERVER / "lib" / name) for name in ("plpgsql.so", "dict_snowball.so")]
    known = ["/etc/passwd", "/etc/group", "/usr/share/zoneinfo/UTC", str(SHARED)]
    images = {
        POSTGRES: with_programs(*programs, beside=[*loaded, *known], folders=("data",)),
        REDIS: with_programs("/usr/bin/redis-server", "/usr/bin/redis-cli", folders=("data",)),
    }
    ours = with_programs(str(SERVER / "bin/psql"), "/usr/bin/redis-cli")
    with running_engine(tmp_path_factory.mktemp("engine"), ours, images) as made:
        yield made


@pytest.fixture
async def engine(address: str) -> AsyncIterator[ContainerEngine]:
    made = ContainerEngine(address)
    yield made
    for found in await made.list({}):
        await made.remove(str(found["Id"]))
    for volume in await made.volumes({CREW: CREW_ID}):
        await made.remove_volume(volume["Name"])
    await made.close()


async def test_agents_use_a_database_and_a_cache(engine: ContainerEngine, tmp_path: Path) -> None:
    services = CrewServices(tuple(parse_services(orjson.dumps(SERVICES).decode())), SECRETS, 512, 2.0)
    crew = CrewContainer("w", CREW_ID, IMAGE, hosts=tuple(services.hosts()))
    box = ContainerSandbox(engine, crew, Limits(), services=services)

    async def said(script: str, agent: str = "a", **environment: str) -> str:
        workdir = Workdir.of(tmp_path, workspace_id="w", agent_id=agent, agent_slug=agent, crew_id=CREW_ID)
        word = {"PGPASSWORD": "of-the-database", "REDISCLI_AUTH": "of-the-cache"} | environment
        ended = await box.run(["sh", "-c", script], workdir=workdir, timeout=60, environment=word)
        return ended.stdout + ended.stderr

    psql = f"{SERVER}/bin/psql -h db -U postgres -qAtc"
    made = await said(f"{psql} 'CREATE TABLE t AS SELECT generate_series(1, 20000) AS n, repeat($$x$$, 100) AS x'")
    assert made == ""
    assert await said(f"{psql} 'SELECT sum(n) FROM t'; redis-cli -h cache set seen 7") == "200010000\nOK\n"
    both = await said(f"redis-cli -h cache get seen; {psql} 'TABLE t' | wc -lc", agent="b")
    assert both.split() == ["7", "20000", str(20000 * 102 + sum(len(str(n)) for n in range(1, 20001)))]
    assert "password authentication failed" in await said(f"{psql} 'SELECT 1'", PGPASSWORD="guessed")
    assert "NOAUTH" in await said("redis-cli -h cache get seen", REDISCLI_AUTH="")
    for found in await engine.list({CREW: CREW_ID}):
        if SERVICE in found["Labels"]:
            await engine.remove(found["Id"])  # as a restart does; by force, as where the machine goes down
    after = await said(f"{psql} 'SELECT count(*) FROM t'; redis-cli -h cache get seen")
    assert after.split() == ["20000", "7"]
