"""What is wrong with an installation, and what to do about it. Nothing is changed, and no secret is shown."""

import asyncio
import http.client
import json
import os
import socket
import stat
from dataclasses import asdict, dataclass
from pathlib import Path

import asyncpg

from crewship import keys
from crewship.postgres import EmbeddedPostgres
from crewship.postgres_child import PostgresError
from crewship.serve import OLDEST_POSTGRES, Access, StartError, database, place_of, wait_for_database
from models import migrations
from resolvers.kernel.settings import Settings
from runtime.sandbox import Isolation, describe


@dataclass(frozen=True)
class Check:
    """`fix` is what to do; empty when nothing is to be done."""

    name: str
    ok: bool
    found: str
    fix: str = ""

    def as_dict(self) -> dict[str, str | bool]:
        return asdict(self)


def examine(settings: Settings) -> list[Check]:
    """All checks, in the order in which a failure explains the next one. An embedded database that is at rest runs meanwhile."""
    directory = check_data_directory(settings)
    if not _reachable(settings.data_dir):
        return [directory, check_port(settings)]
    return [directory, *_check_secrets_file(settings), *_check_stored(settings), check_port(settings), check_isolation(settings)]


def _reachable(directory: Path) -> bool:
    """What another user keeps, that user has to ask about: also where commands would run."""
    try:
        return not directory.exists() or os.access(directory, os.R_OK | os.W_OK | os.X_OK)
    except PermissionError:  # it is in a closed one
        return False


def check_data_directory(settings: Settings) -> Check:
    path = settings.data_dir
    if not os.path.exists(path):  # unlike Path.exists, it raises nothing where this user may not look
        parent = next(above for above in path.parents if os.path.exists(above))
        if os.access(parent, os.W_OK | os.X_OK):
            return Check("data directory", True, f"{path} does not exist yet; the first start makes it")
        return Check("data directory", False, f"{path} cannot be found, and {parent} is not writable", "make it for this user, or set CREWSHIP_DATA_DIR")
    if not path.is_dir():
        return Check("data directory", False, f"{path} is not a directory", "set CREWSHIP_DATA_DIR to a directory")
    if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
        return Check("data directory", False, f"{path} is not writable for this user", "start as the user who owns it, or set CREWSHIP_DATA_DIR")
    if open_to := _open_to_others(path):
        return Check("data directory", False, f"{path} is open to other users ({open_to})", f"chmod 700 {path}")
    return Check("data directory", True, str(path))


def _check_secrets_file(settings: Settings) -> list[Check]:
    path = keys.secrets_path(settings.data_dir)
    if not path.exists():
        return []
    open_to = _open_to_others(path)
    return [Check("secrets file", not open_to, f"{path} is open to other users ({open_to})" if open_to else str(path), f"chmod 600 {path}" if open_to else "")]


def _open_to_others(path: Path) -> str:
    mode = stat.S_IMODE(path.stat().st_mode)
    return f"mode {mode:o}" if mode & 0o077 else ""


def _check_stored(settings: Settings) -> list[Check]:
    if settings.database_url is None and not EmbeddedPostgres(settings.data_dir).cluster.exists():
        return [Check("database", True, "embedded, not made yet; the first start makes it")]
    try:
        with database(settings) as access:
            return asyncio.run(_check_database(settings, access))
    except (PostgresError, StartError) as error:
        found, _, fix = str(error).partition("; ")
        return [Check("database", False, found, fix)]


async def _check_database(settings: Settings, access: Access) -> list[Check]:
    await wait_for_database(access.application, wait=5.0)
    connection = await asyncpg.connect(access.application)
    try:
        release = await connection.fetchval("SHOW server_version")
        role = await connection.fetchrow("SELECT rolname, rolsuper, rolbypassrls FROM pg_roles WHERE rolname = current_user")
        kind = "embedded" if settings.database_url is None else place_of(access.application)
        checks = [Check("database", True, f"{kind}, PostgreSQL {release} ({OLDEST_POSTGRES} or newer is needed)"), _check_role(role)]
        current, head = await migrations.current(access.application), migrations.head()
        fix = "" if current == head else "run crewship migrate"
        checks.append(Check("migrations", current == head, f"at {current or 'nothing'}, this release is at {head}", fix))
        if current is not None:
            checks.append(await _check_keys(settings, connection))
    finally:
        await connection.close()
    return checks


def _check_role(role: asyncpg.Record | None) -> Check:
    assert role is not None  # a connection has a current user
    powers = [word for word, held in (("superuser", role["rolsuper"]), ("BYPASSRLS", role["rolbypassrls"])) if held]
    if not powers:
        return Check("database role", True, f"{role['rolname']}: no superuser, does not bypass row-level security")
    fix = "give DATABASE_URL a role with NOSUPERUSER NOBYPASSRLS, and CREWSHIP_MIGRATION_DATABASE_URL the owner of the tables"
    return Check("database role", False, f"{role['rolname']} is {' and '.join(powers)}: row-level security does not hold for it", fix)


async def _check_keys(settings: Settings, connection: "asyncpg.Connection[asyncpg.Record]") -> Check:
    facts = {row["name"]: row["value"] for row in await connection.fetch("SELECT name, value FROM instance_facts WHERE name LIKE 'key.%'")}
    if not facts:
        return Check("keys", True, "none recorded yet; the first start makes them")
    try:
        problems = keys.judge(facts, keys.held(keys.with_stored(settings)), settings.data_dir)
    except keys.KeysError as error:
        problems = [str(error)]
    if problems:
        return Check("keys", False, f"{len(problems)} of {len(facts)} do not fit the database", " ".join(problems))
    return Check("keys", True, f"{len(facts)} match their fingerprints")


def check_isolation(settings: Settings) -> Check:
    """Where agents' commands would run. Without a sandbox everything else works: that is told, and no fault."""
    report = asyncio.run(describe(settings))
    if report.isolation is Isolation.namespace:
        return Check("isolation", True, "agents' commands run in namespaces of their own")
    return Check("isolation", True, report.why, report.fix)


def check_port(settings: Settings) -> Check:
    """Free, or served by a Crewship; anything else keeps us from starting."""
    place = f"{settings.host} port {settings.port}"
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError as error:
            reason = error.strerror
        else:
            return Check("port", True, f"{place} is free")
    if _serves(settings.host, settings.port):
        return Check("port", True, f"{place} is served by Crewship")
    return Check("port", False, f"{place}: {reason}", "end the other program, or set CREWSHIP_PORT or CREWSHIP_HOST")


def _serves(host: str, port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1" if host == "0.0.0.0" else host, port, timeout=3)  # noqa: S104 - compared, not bound
    try:
        connection.request("GET", "/healthz")
        answer = json.loads(connection.getresponse().read(4096))
    except (OSError, ValueError, http.client.HTTPException):
        return False
    finally:
        connection.close()
    return isinstance(answer, dict) and answer.get("service") == "crewshipd"  # the contract's ops.healthz
