"""Finds faults of an installation and says how to fix them. It changes nothing, and shows no secret."""

import asyncio
import http.client
import json
import os
import platform
import socket
import stat
from pathlib import Path

import asyncpg

from crewship.cli.archive_check import check_archive
from crewship.cli.checks import Check
from crewship.cli.host_checks import check_clock, check_commits
from crewship.cli.replica_check import check_replicas
from crewship.process import keys
from crewship.process.database import OLDEST_POSTGRES, Access, StartError, database, place_of, wait_for_database
from crewship.process.mail import SmtpMailer, mailer_of, writes_headers_whole
from crewship.process.pooler import probe
from crewship.process.postgres import EmbeddedPostgres
from crewship.process.postgres_child import PostgresError
from crewship.process.serve import WEAKER_ROLE, powers_of
from models import migrations
from models.connections import open_connection
from resolvers.errors import Refusal
from resolvers.instance.outbound import Outbound, Policy
from resolvers.instance.ports import MailFailed
from resolvers.instance.settings import Settings
from resolvers.instance.sign_in_providers import SignInProvider
from resolvers.oversight.keeper.gatekeeper import DEFAULT_ADDRESS
from resolvers.people.sign_in_providers import openid
from runtime.coding.installed import Installed, Missing, report
from runtime.containers.engine import EngineKind
from runtime.containers.selection import engine_of
from runtime.egress import ConnectionRefused, Endpoint
from runtime.engine.dbos_engine import POOL
from runtime.runs.job import Failed
from runtime.sandbox import Isolation, Report, describe

ELSEWHERE = "if the server keeps its data in another directory, set CREWSHIP_DATA_DIR to that"


def examine(settings: Settings) -> list[Check]:
    """All checks, in the order a failure explains the next. An embedded database at rest runs meanwhile."""
    directory = check_data_directory(settings)
    if not _reachable(settings.data_dir):
        return [directory, check_port(settings)]
    return [
        directory,
        *_check_secrets_file(settings),
        *_check_stored(settings),
        check_port(settings),
        *check_isolation(settings),
        check_containers(settings),
        check_coding_agents(settings),
        *check_keeper(settings),
        check_mail(settings),
        *check_sign_in_providers(settings),
    ]


def _reachable(directory: Path) -> bool:
    """Files of another user can only be examined by that user; the same holds where commands would run."""
    try:
        return not directory.exists() or os.access(directory, os.R_OK | os.W_OK | os.X_OK)
    except PermissionError:  # it is in a closed one
        return False


def check_data_directory(settings: Settings) -> Check:
    path = settings.data_dir
    if not os.path.exists(path):  # unlike Path.exists, it raises nothing where this user may not look
        parent = next(above for above in path.parents if os.path.exists(above))
        if os.access(parent, os.W_OK | os.X_OK):
            return Check("data directory", True, f"{path} does not exist yet; the first start creates it")
        return Check(
            "data directory",
            False,
            f"{path} cannot be found, and {parent} is not writable",
            "create it for this user, or set CREWSHIP_DATA_DIR",
        )
    if not path.is_dir():
        return Check("data directory", False, f"{path} is not a directory", "set CREWSHIP_DATA_DIR to a directory")
    if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
        return Check(
            "data directory",
            False,
            f"{path} is not writable for this user",
            "start as the user who owns it, or set CREWSHIP_DATA_DIR",
        )
    if open_to := _open_to_others(path):
        return Check("data directory", False, f"{path} is open to other users ({open_to})", f"chmod 700 {path}")
    return Check("data directory", True, str(path))


def _check_secrets_file(settings: Settings) -> list[Check]:
    path = keys.secrets_path(settings.data_dir)
    if not path.exists():
        return []
    open_to = _open_to_others(path)
    return [
        Check(
            "secrets file",
            not open_to,
            f"{path} is open to other users ({open_to})" if open_to else str(path),
            f"chmod 600 {path}" if open_to else "",
        )
    ]


def _open_to_others(path: Path) -> str:
    mode = stat.S_IMODE(path.stat().st_mode)
    return f"mode {mode:o}" if mode & 0o077 else ""


def _check_stored(settings: Settings) -> list[Check]:
    if settings.database_url is None and not EmbeddedPostgres(settings.data_dir).is_made:
        found = f"embedded, not created yet; the first start creates it in {settings.data_dir}"
        return [Check("database", True, found, ELSEWHERE)]
    try:
        with database(settings) as access:
            checks = asyncio.run(_check_database(settings, access))
            if settings.database_url is None and settings.wal_archive is not None:
                checks.append(asyncio.run(check_archive(settings.wal_archive, access)))
            return checks
    except (PostgresError, StartError) as error:
        found, _, fix = str(error).partition("; ")
        return [Check("database", False, found, fix)]


async def _check_database(settings: Settings, access: Access) -> list[Check]:
    await wait_for_database(access.application, wait=5.0)
    connection = await open_connection(access.application)
    try:
        release = await connection.fetchval("SHOW server_version")
        kind = "embedded" if settings.database_url is None else place_of(access.application)
        checks = [
            Check("database", True, f"{kind}, PostgreSQL {release} ({OLDEST_POSTGRES} or newer is required)"),
            _check_role(*await powers_of(connection)),
        ]
        if access.pooled is not None:
            checks.append(await _check_pooler(access.pooled, access.application))
        if settings.database_replica_url is not None:
            checks += await check_replicas(settings.database_replica_url.get_secret_value(), connection)
        current, head = await migrations.current(access.application), migrations.head()
        at, lacks = f"at {current or 'nothing'}, this release is at {head}", await migrations.lacks(connection)
        if current == head and lacks:
            at += ", with other functions"
        mend = "run crewship migrate" if lacks else ""
        if not lacks and current != head and not await migrations.later(connection):
            mend = "start the release that migrated the database"
        checks.append(Check("migrations", not mend, at, mend))
        checks.append(await _check_connections(settings, connection))
        checks += [await check_clock(connection), await check_commits(connection)]
        if current is not None:
            checks.append(await _check_keys(settings, connection))
            checks += [
                await _check_place(provider, connection) for provider in settings.providers if provider.gives_roles
            ]
    finally:
        await connection.close()
    return checks


async def _check_pooler(pooled: str, direct: str) -> Check:
    """The pooler between the service and PostgreSQL, and the settings that it lacks."""
    try:
        found = await probe(pooled, direct)
    except StartError as error:
        said, _, fix = str(error).partition("; ")
        return Check("pooler", False, said, fix)
    named = {"none": "none", "unknown": place_of(pooled)}.get(found.kind, f"{place_of(pooled)}, in {found.kind}")
    return Check("pooler", not found.lacks, named, "; ".join(found.lacks or found.advice))


async def _check_place(provider: SignInProvider, connection: "asyncpg.Connection[asyncpg.Record]") -> Check:
    """The workspace of a provider's roles: the stored one or, before the first sign-in, the one that the slug names
    now.
    """
    name, live = f"workspace of {provider.label}", "SELECT id, name, slug FROM workspaces WHERE deleted_at IS NULL AND"
    sql = "SELECT value FROM instance_facts WHERE name = $1"
    known = await connection.fetchval(sql, provider.workspace_fact)
    if known is not None:
        found = await connection.fetchrow(f"{live} id = $1", known)
    else:
        found = await connection.fetchrow(f"{live} $1 IN (id, slug) ORDER BY id = $1 DESC LIMIT 1", provider.workspace)
    if found is None:
        told = f"{provider.workspace} is not there" if known is None else f"{known} no longer exists"
        return Check(name, False, told, "name a workspace by its id in CREWSHIP_SIGN_IN_PROVIDERS")
    said = f"{found['name']} ({found['slug']}, {found['id']})"
    return Check(name, True, said if known is not None else f"{said}, from the first sign-in")


def _check_role(role: str, powers: list[str]) -> Check:
    if not powers:
        return Check("database role", True, f"{role}: no superuser, does not bypass row-level security")
    return Check(
        "database role",
        False,
        f"{role} is {' and '.join(powers)}: row-level security does not hold for it",
        WEAKER_ROLE,
    )


async def _check_keys(settings: Settings, connection: "asyncpg.Connection[asyncpg.Record]") -> Check:
    facts = {
        row["name"]: row["value"]
        for row in await connection.fetch("SELECT name, value FROM instance_facts WHERE name LIKE 'key.%'")
    }
    if not facts:
        return Check("keys", True, "none recorded yet; the first start creates them")
    try:
        complete = keys.with_stored(settings)
        problems = keys.judge(facts, keys.held(complete), settings.data_dir)
    except keys.KeysError as error:
        problems = [str(error)]
    if problems:
        return Check("keys", False, f"{len(problems)} of {len(facts)} do not fit the database", " ".join(problems))
    if weakness := keys.weak(complete):
        return Check("keys", False, f"{len(facts)} match their fingerprints, one is too short", weakness)
    return Check("keys", True, f"{len(facts)} match their fingerprints{_previous(complete)}")


def _previous(settings: Settings) -> str:
    """The effect of NEXTAUTH_SECRET_PREVIOUS, if it is set."""
    if settings.nextauth_secret_previous is None:
        return ""
    good = (
        "is still valid"
        if keys.still_good(settings)
        else "proves the replacement, but its tokens are void because it is too short"
    )
    return f"; {keys.PREVIOUS} {good}, remove it when the sessions of its time have ended (30 days)"


def connections_of(settings: Settings) -> int:
    """The most database connections of a process: the pool, the tail of events, the wake-ups, the engine that executes
    runs, the lock of jobs and clocks, and the position for replicas. Through a pooler go all but the last ones.
    """
    events, lock = 1, 1
    position = 0 if settings.database_replica_url is None else 1
    if settings.database_direct_url is not None:
        return lock + position + (1 if settings.redis_url is None else 0)
    wakeups = 2 if settings.redis_url is None else 0
    # what it keeps, its listener, and two more for the moment in which it starts
    engine = POOL + 1 + 2 if settings.role != "api" else 0
    return settings.pool_size + events + wakeups + engine + lock + position


async def _check_connections(settings: Settings, connection: "asyncpg.Connection[asyncpg.Record]") -> Check:
    reserved = "COALESCE(current_setting('reserved_connections', true), '0')::int"
    sql = (
        "SELECT current_setting('max_connections')::int -"
        f" current_setting('superuser_reserved_connections')::int - {reserved}"
    )
    allowed: int = await connection.fetchval(sql)
    each, asked = connections_of(settings), connections_of(settings) * settings.workers
    found = (
        f"up to {each} per process, {asked} for {settings.workers} processes (CREWSHIP_WORKERS); "
        f"PostgreSQL allows {allowed} in total"
    )
    fix = "lower CREWSHIP_POOL_SIZE or CREWSHIP_WORKERS, or raise max_connections" if asked > allowed else ""
    return Check("connections", not fix, found, fix)


def check_isolation(settings: Settings) -> list[Check]:
    """The sandbox for agents' commands. Without one everything else works, so its absence is reported but is not a
    fault.
    """
    sandbox = asyncio.run(describe(settings))
    if sandbox.isolation is Isolation.namespace:
        found = f"agents' commands run in separate namespaces, created by {sandbox.program}"
        isolation = Check("isolation", True, found)
    else:
        isolation = Check("isolation", True, sandbox.why, sandbox.fix)
    return [isolation, _check_limits(sandbox)]


def _check_limits(sandbox: Report) -> Check:
    """Which limits of a command the kernel holds, and which are only watched. Neither is a fault."""
    if not sandbox.runs_commands:
        return Check("limits of commands", True, "there are no commands")
    if sandbox.limits:
        return Check("limits of commands", True, f"memory and processes are {sandbox.limits}")
    found = f"memory is polled ten times a second and can be exceeded in between: {sandbox.no_groups}"
    fix = (
        "to have the kernel enforce it, start the service as root, under systemd with Delegate=yes, or "
        "in a container with a writable /sys/fs/cgroup"
    )
    return Check("limits of commands", True, found, fix)


def check_coding_agents(settings: Settings) -> Check:
    """The coding agents on this machine. Without any, agents use our own loop, so their absence is reported but is not
    a fault.
    """
    folder = settings.coding_agents
    found = list(report(folder))
    there = [f"{one.agent.name} {one.version}" for one in found if isinstance(one, Installed)]
    missing = [one for one in found if isinstance(one, Missing)]
    fixes = "; ".join(f"to have {one.agent.name}, {one.fix}" for one in missing)
    if folder is None:
        return Check("coding agents", True, "none: CREWSHIP_CODING_AGENTS is not set", fixes)
    said = [f"in {folder}: {', '.join(there) or 'none'}", *(f"{one.agent.name}: {one.why}" for one in missing)]
    return Check("coding agents", bool(there), "; ".join(said), fixes)


def check_keeper(settings: Settings) -> list[Check]:
    """Checks if agents work with the keeper's model server. This is reported but is not a fault: only model calls reach
    the server from here.
    """
    if not settings.keeper_enabled:
        return []
    server = settings.keeper_address or DEFAULT_ADDRESS
    given = {
        "OLLAMA_BASE_URL": settings.ollama_base_url,
        "OPENAI_BASE_URL": settings.openai_base_url,
        "ANTHROPIC_BASE_URL": settings.anthropic_base_url,
        "GOOGLE_GEMINI_BASE_URL": settings.gemini_base_url,
    }
    shared = [name for name, url in given.items() if url and _is_one(url, server)]
    if not shared:
        return [Check("keeper", True, f"uses a model at {server}")]
    found = f"uses a model at {server}, which agents also use ({' and '.join(shared)})"
    return [Check("keeper", True, found, "use a separate server for the keeper: KEEPER_OLLAMA_URL")]


def _is_one(url: str, other: str) -> bool:
    """Returns true if both addresses lead to one server: by host and port; all names of this machine are equal."""
    try:
        one, two = Endpoint.of_url(url), Endpoint.of_url(other)
    except ConnectionRefused:
        return False
    return one.port == two.port and (one.host == two.host or (one.is_loopback and two.is_loopback))


def check_containers(settings: Settings) -> Check:
    """Which engine makes crews' containers. Without one everything else works; one that is named has to answer."""
    if settings.container_engine is None:
        fix = "to enable them, set CREWSHIP_CONTAINER_SOCKET to the socket of Docker or podman"
        return Check("containers", True, "crews have none: no container engine is configured", fix)

    async def ask() -> EngineKind:
        engine = engine_of(settings, str(settings.container_engine))
        try:
            return await engine.kind()
        finally:
            await engine.close()

    try:
        kind = asyncio.run(ask())
    except Failed as failed:
        fix = f"start the engine, or correct CREWSHIP_CONTAINER_SOCKET ({settings.container_engine})"
        if settings.container_provider == "kubernetes":
            fix = "run doctor in a pod of a worker; the chart's sandboxes.enabled creates what it needs"
        return Check("containers", False, str(failed), fix)
    rights = "without root" if kind.rootless else "as root"
    return Check("containers", True, f"made by {kind.name} {kind.version}, which runs {rights}")


def check_mail(settings: Settings) -> Check:
    """Checks if the server can mail links. Without mail everything else works, so its absence is reported but is not a
    fault.
    """
    pairs = {
        "CREWSHIP_SMTP_URL and CREWSHIP_MAIL_FROM": (settings.smtp_url, settings.mail_from),
        "RESEND_API_KEY and RESEND_FROM": (settings.resend_api_key, settings.resend_from),
    }
    for names, pair in pairs.items():
        if any(pair) and not all(pair):
            return Check("mail", False, f"only one of {names} is set", "set both, or neither")
    mailer = mailer_of(settings)
    if mailer is None:
        fix = f"to enable mail, set {' or '.join(pairs)}, and CREWSHIP_PUBLIC_URL"
        return Check("mail", True, "not configured: password resets and invitations are not mailed", fix)
    if settings.public_url is None:
        return Check("mail", False, "links have no base address", "set CREWSHIP_PUBLIC_URL")
    if not isinstance(mailer, SmtpMailer):
        return Check("mail", True, "uses the HTTP service of RESEND_API_KEY")
    try:
        asyncio.run(mailer.check())
    except MailFailed as error:
        return Check("mail", False, f"{mailer.place}: {error}", "start the mail server, or correct CREWSHIP_SMTP_URL")
    version = platform.python_version()
    told = "" if writes_headers_whole() else f"; Python {version} has CVE-2024-6923, and affected mails are refused"
    fix = "a newer release of this Python fixes it" if told else ""
    return Check("mail", True, f"uses {mailer.place}{told}", fix)


def check_sign_in_providers(settings: Settings) -> list[Check]:
    """Checks for each provider what a sign-in needs before it redirects, and the addresses to register with the
    provider.
    """
    return [asyncio.run(_check_provider(settings, provider)) for provider in settings.providers]


async def _check_provider(settings: Settings, provider: SignInProvider) -> Check:
    name = f"sign-in with {provider.label}"
    try:
        async with Outbound(Policy.CONFIGURED, timeout=5.0, most=openid.LARGEST_ANSWER) as http:
            metadata = await openid.read_metadata(http, provider)
            keys = await openid.read_keys(http, metadata)
    except Refusal as refusal:
        return Check(name, False, f"{provider.issuer}: {refusal.detail}", ("start the provider, or correct its issuer"))
    if not any(openid.is_usable(key, metadata) for key in keys):
        return Check(name, False, f"{provider.issuer} has no accepted signing key", "see docs/sign-in.md")
    if settings.public_url is None:
        fix = "set CREWSHIP_PUBLIC_URL, to which the provider redirects browsers"
        return Check(name, True, f"{provider.issuer} answers", fix)
    return Check(
        name, True, (f"{provider.issuer} answers; register the redirect URI {settings.public_url}{provider.callback}")
    )


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
