"""The server about itself: health, readiness, release, license, metrics, and whether anybody uses it yet."""

import asyncio
import os
import platform
import time
from enum import StrEnum
from functools import cache
from importlib import metadata

import orjson
from packaging.version import InvalidVersion
from packaging.version import Version as Release
from prometheus_client import REGISTRY, Gauge, generate_latest
from sqlmodel import col

from models import migrations
from models.kernel import INSTALL_ID, TELEMETRY, InstanceFact
from models.people.auth import User
from resolvers.identity.locality import is_at_the_machine
from resolvers.instance.bundles import records
from resolvers.instance.crypto import secret_equals
from resolvers.instance.license import Edition
from resolvers.kernel import (
    REST_ONLY,
    Action,
    Auth,
    Code,
    Context,
    Input,
    NoInput,
    Output,
    Refusal,
    Tenancy,
    Text,
    instance,
    log,
    procedure,
)
from resolvers.kernel.store.database import database
from resolvers.oversight.system.measured import PATIENCE, TROUBLE, of_database
from resolvers.rules.durations import format_duration

JOBS_PATIENCE = 10.0  # seconds that background jobs may be kept from this process before it is not ready
RELEASES_PATIENCE = 4.0  # seconds (contract: system.version)
SOCKETS = ("crewshipd_ws_connections", "crewship_graphql_sockets")  # metrics of the surfaces that have them

Gauge("crewshipd_uptime_seconds", "Seconds since this process started to serve").set_function(instance.uptime)
Gauge("crewshipd_workers", "Serving processes; these measurements are of one of them").set_function(
    lambda: instance.settings.workers
)
POOL = Gauge("crewshipd_db_pool_connections", "Database connections of this process, by state", ["state"])
POOL.labels("busy").set_function(lambda: database.connections().busy)
POOL.labels("idle").set_function(lambda: database.connections().idle)
Gauge("crewshipd_db_pool_waiting", "Calls that wait for a database connection").set_function(
    lambda: database.connections().waiting
)


class EpisodicMode(StrEnum):
    """The search method for agents' memories. This server has no vector index."""

    sparse_only = "sparse-only"


class Health(Output):
    status: str = "ok"


class Liveness(Output):
    """`uptime` is a duration in the format of Go: `1h2m3.5s`."""

    status: str = "ok"
    service: str = "crewshipd"
    uptime: str
    episodic: EpisodicMode = EpisodicMode.sparse_only


class Checks(Output):
    """`ok`, or a description of the failure."""

    db: str
    state: str


class Readiness(Output):
    status: bool
    checks: Checks


class Exposition(Output):
    """Metrics in the text format 0.0.4 of Prometheus."""

    text: str


class SetupStatus(Output):
    """The state of sign-up. `needs_bootstrap`: no user exists yet."""

    needs_bootstrap: bool
    allow_signup: bool


class Telemetry(Output):
    """`install_id`: 32 hex digits, empty before the first consent."""

    enabled: bool = False
    install_id: str = ""


class Version(Output):
    """The release of this server; `latest` and `url` are null if the newest release is not known.

    `commit` is known if the server was installed from a repository, and empty otherwise, like `build_time`.
    `go_version` is the version of Python. `schema_version` is the newest migration that this release knows.
    """

    current: str
    latest: str | None
    newer: bool
    url: str | None
    commit: str
    build_time: str
    dirty: bool
    go_version: str
    os: str
    arch: str
    schema_version: int


class License(Output):
    """The current license and its limits; a limit of zero or less means unlimited."""

    edition: Edition
    license_id: str
    licensee_org: str
    max_crews: int
    max_agents_per_crew: int
    max_members: int
    features: list[str]


class Engine(Output):
    """The process that answers. `uptime` is a duration such as `1h2m3.5s`; `connections` are its open WebSockets."""

    status: str = "ok"
    uptime: str
    connections: int


@procedure("system.health", Action.NONE, auth=Auth.NONE, surfaces=REST_ONLY)
async def health(ctx: Context, data: NoInput) -> Health:
    """Check that the API responds."""
    return Health()


@procedure("ops.healthz", Action.NONE, auth=Auth.NONE, surfaces=REST_ONLY)
async def healthz(ctx: Context, data: NoInput) -> Liveness:
    """Check that the process is alive.

    Checks nothing else. For liveness probes.
    """
    return Liveness(uptime=_uptime())


@procedure("ops.readyz", Action.NONE, auth=Auth.NONE, surfaces=REST_ONLY)
async def readyz(ctx: Context, data: NoInput) -> Readiness:
    """Check that the process is ready.

    503 while a check fails. For readiness probes.

    `db`: the database responds, and its schema is not older than this release. `state`: the data directory is writable.
    """
    db, state = await asyncio.gather(_database_failure(), asyncio.to_thread(_state_failure))
    return Readiness(status=db is None and state is None, checks=Checks(db=db or "ok", state=state or "ok"))


class MetricsToken(Input):
    token: Text | None = None


async def only_scrapers(ctx: Context, shown: MetricsToken | None) -> None:
    """Admits programs on this machine, and clients with CREWSHIP_METRICS_TOKEN. Others get NOT_FOUND."""
    if is_at_the_machine(ctx.caller, instance.settings):
        return
    token, expected = None if shown is None else shown.token, instance.settings.metrics_token
    if expected is None or not token or not secret_equals(token, expected.get_secret_value()):
        raise Refusal(Code.NOT_FOUND, "There is no such path")


@procedure(
    "ops.metrics", Action.NONE, auth=Auth.NONE, surfaces=REST_ONLY, errors=(Code.NOT_FOUND,), allow=only_scrapers
)
async def metrics(ctx: Context, data: NoInput) -> Exposition:
    """Get metrics of the process.

    For Prometheus. Requires CREWSHIP_METRICS_TOKEN as bearer token, except for local requests.

    Local requests come over the unix socket, or from 127.0.0.1 by that name if neither CREWSHIP_PUBLIC_URL nor
    CREWSHIP_TRUSTED_PROXY_CIDRS is set.

    Each process reports its own metrics: with several workers (`crewshipd_workers`) a scrape reads one of them. To read
    all of them, run processes of one worker each, on separate ports.
    """

    async def read() -> dict[str, str]:
        facts = await ctx.select(InstanceFact, col(InstanceFact.name).in_(records.NAMES)).all()
        return {fact.name: fact.value for fact in facts}

    asked = await of_database(read)
    written = await asyncio.to_thread(lambda: generate_latest(REGISTRY) + generate_latest(asked))
    return Exposition(text=written.decode())


@procedure("system.setup_status", Action.NONE, auth=Auth.NONE, errors=(Code.UNAVAILABLE,))
async def setup_status(ctx: Context, data: NoInput) -> SetupStatus:
    """Get the setup status.

    Shows whether the first user has been created, and whether sign-up is allowed.
    """
    try:
        async with asyncio.timeout(PATIENCE):
            used = await ctx.select(User).exists()
    except TROUBLE as error:
        log.warning("setup status unknown", error=type(error).__name__)
        raise Refusal(Code.UNAVAILABLE, "The database does not answer") from None
    return SetupStatus(needs_bootstrap=not used, allow_signup=instance.settings.allow_signup)


@procedure("system.telemetry", Action.NONE, auth=Auth.NONE)
async def telemetry(ctx: Context, data: NoInput) -> Telemetry:
    """Get the telemetry setting.

    Returns whether a user consented to telemetry during onboarding. Disabled without consent.
    """
    try:
        async with asyncio.timeout(PATIENCE):
            stored = await ctx.select(InstanceFact, col(InstanceFact.name).in_((TELEMETRY, INSTALL_ID))).all()
    except TROUBLE as error:
        log.warning("telemetry unknown", error=type(error).__name__)
        return Telemetry()
    facts = {fact.name: fact.value for fact in stored}
    return Telemetry(enabled=facts.get(TELEMETRY) == "on", install_id=facts.get(INSTALL_ID, ""))


@procedure("system.version", Action.NONE, tenancy=Tenancy.NONE, late=True)
async def version(ctx: Context, data: NoInput) -> Version:
    """Get the version.

    Returns the release of this server, and the newest release if known.
    """
    current, found = released(), None
    if not instance.settings.skip_update_check:
        try:
            async with asyncio.timeout(RELEASES_PATIENCE):
                found = await ctx.outside.releases.latest()
        except Exception as error:  # any error of a port to the outside
            log.warning("releases unknown", error=type(error).__name__)
    latest, url = found or (None, None)
    return Version(
        current=current,
        latest=latest,
        newer=latest is not None and is_newer(latest, current),
        url=url,
        commit=_commit(),
        build_time="",
        dirty=False,
        go_version=f"python {platform.python_version()}",
        os=platform.system().lower(),
        arch=platform.machine(),
        schema_version=migrations.number(migrations.head()),
    )


@cache
def _commit() -> str:
    """As the installer has noted it (PEP 610)."""
    noted = orjson.loads(metadata.distribution("crewship").read_text("direct_url.json") or "{}")
    return str(noted.get("vcs_info", {}).get("commit_id", ""))


@procedure("system.license", Action.NONE, tenancy=Tenancy.NONE)
async def license(ctx: Context, data: NoInput) -> License:
    """Get the license.

    Returns the license of this server; without a license, the community edition.
    """
    now = instance.license
    limits = {
        "max_crews": now.max_crews,
        "max_agents_per_crew": now.max_agents_per_crew,
        "max_members": now.max_members,
    }
    return License(
        edition=now.edition,
        license_id=now.license_id,
        licensee_org=now.licensee_org,
        features=list(now.features),
        **limits,
    )


@procedure("system.engine", Action.READ)
async def engine(ctx: Context, data: NoInput) -> Engine:
    """Get the status of the engine.

    Returns the uptime of the process that answers, and its number of connected clients.
    """
    opened = [sample.value for metric in REGISTRY.restricted_registry(SOCKETS).collect() for sample in metric.samples]
    return Engine(uptime=_uptime(), connections=int(sum(opened)))


def _uptime() -> str:
    return format_duration(round(instance.uptime() * 10) * 100_000_000)


@cache
def released() -> str:
    """The version of this server; `source` for a source tree that was never installed."""
    try:
        return metadata.version("crewship")
    except metadata.PackageNotFoundError:
        return "source"


def is_newer(latest: str, current: str) -> bool:
    """Compares versions by PEP 440; a text that is not a version is neither newer nor older."""
    try:
        return Release(latest) > Release(current)
    except InvalidVersion:
        return False


async def _database_failure() -> str | None:
    try:
        async with asyncio.timeout(PATIENCE), database.lease() as conn:
            lacks = await migrations.lacks(conn)
    except TROUBLE as error:
        log.warning("database not ready", error=type(error).__name__)
        return "the database does not answer"
    return "the database lacks migrations" if lacks else None


def _state_failure() -> str | None:
    if not os.access(instance.settings.data_dir, os.W_OK | os.X_OK):
        return "the data directory cannot be written"
    since = instance.jobs_failing_since
    failing = since is not None and time.monotonic() - since > JOBS_PATIENCE
    return "no background jobs are carried out" if failing else None
