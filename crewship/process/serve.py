"""From an environment to a serving process: sockets, database, migrations, keys, uvicorn; and back in reverse order."""

import asyncio
import contextlib
import errno
import gc
import importlib
import logging
import os
import secrets
import signal
import socket
import threading
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import asyncpg
from pydantic import SecretStr

from crewship.perimeter.connections import raise_descriptor_limit
from crewship.perimeter.protocol import Protocol
from crewship.process import keys, logs
from crewship.process.database import UNUSED_SNAPSHOT, Access, StartError, database, note_use, wait_for_database
from crewship.process.memory import limit_arenas
from crewship.process.pooler import check_pooler
from crewship.process.postgres import EmbeddedPostgres
from crewship.process.postgres_child import interrupt_when_parent_dies
from crewship.process.private_files import make_private, write_secret
from crewship.process.progress import Progress
from crewship.process.trusted_documents import read_documents
from models import migrations
from models.connections import open_connection
from resolvers.identity.locality import is_alone_on_loopback
from resolvers.instance.crypto import setup_token
from resolvers.instance.running import BOOTSTRAPPED
from resolvers.instance.settings import Settings, load_settings
from resolvers.instance.unseen import unseen

with unseen("watchfiles"):  # reloads a program under development
    import uvicorn
    from uvicorn.supervisors import Multiprocess

T = TypeVar("T")
log = logging.getLogger("crewship.serve")

WEAKER_ROLE = (
    "use a role with NOSUPERUSER NOBYPASSRLS in DATABASE_URL, and the owner of the tables in "
    "CREWSHIP_MIGRATION_DATABASE_URL"
)
LARGEST_MESSAGE = 1024 * 1024  # bytes of one WebSocket message, as of a request's body
GRACE = 10  # seconds that requests and sockets have to end after SIGTERM


async def migrate(settings: Settings, access: Access, *, snapshot: bool = False) -> str:
    """Bring the schema to this release's head, and the tables of the durable engine with it, under locks that all
    processes share; returns the revision. Tables of a later release that serve this one, too, stay as they are.
    `snapshot`: the embedded database is copied before its migration.
    """
    from crewship.process import bundled_skills
    from crewship.process.work import prepare as prepare_engine

    await wait_for_database(access.owner)
    try:
        revision = await migrations.upgrade(
            access.owner,
            application_role=access.role,
            row_level_security=settings.row_level_security,
            audit_days=settings.audit_days,
            before=partial(_snapshot, settings, access) if snapshot and settings.database_url is None else None,
        )
    except migrations.SchemaError as error:
        raise StartError(str(error)) from None
    if revision != migrations.head():
        log.warning("a later release migrated the database to %s, which serves this one, too", revision)
        return revision
    await prepare_engine(access.owner, access.application)
    await bundled_skills.bring(access.owner)
    return revision


async def _snapshot(settings: Settings, access: Access, revision: str) -> None:
    from crewship.process import postgres_snapshots

    await postgres_snapshots.take(settings.data_dir, access, revision)


async def _drop_proved(settings: Settings, access: Access) -> None:
    if settings.database_url is None and (settings.data_dir / UNUSED_SNAPSHOT.parent).exists():
        from crewship.process import postgres_snapshots

        await postgres_snapshots.drop_proved(settings.data_dir, access)


async def prepare(settings: Settings, access: Access) -> Settings:
    """Migrate, settle the keys, and return the settings the application starts with, without the owner's address."""
    await migrate(settings, access, snapshot=True)
    note_use(settings)
    await _drop_proved(settings, access)
    await wait_for_database(access.application)
    if access.pooled is not None:
        await check_pooler(access.pooled, access.application)
    await _refuse_powers(settings, access.application)
    settings = await keys.settle(settings, access.application)
    addresses = {"database_url": SecretStr(access.pooled or access.application), "migration_database_url": None}
    return settings.model_copy(update=addresses | {"internal_token": _internal_token(settings)})


async def powers_of(connection: "asyncpg.Connection[asyncpg.Record]") -> tuple[str, list[str]]:
    """The role of a connection, and by which of its attributes row-level security does not hold for it."""
    role = await connection.fetchrow(
        "SELECT rolname, rolsuper, rolbypassrls FROM pg_roles WHERE rolname = current_user"
    )
    assert role is not None  # a connection has a current user
    return role["rolname"], [
        word for word, held in (("superuser", role["rolsuper"]), ("BYPASSRLS", role["rolbypassrls"])) if held
    ]


async def _refuse_powers(settings: Settings, dsn: str) -> None:
    if not settings.row_level_security:
        return
    connection = await open_connection(dsn)
    try:
        role, powers = await powers_of(connection)
    finally:
        await connection.close()
    if powers:
        raise StartError(
            f"the role {role} of DATABASE_URL is {' and '.join(powers)}, so row-level security has no "
            f"effect; {WEAKER_ROLE}, or disable the second barrier between tenants with "
            "CREWSHIP_ROW_LEVEL_SECURITY=false"
        )


def _internal_token(settings: Settings) -> SecretStr:
    """Random per start, shared by the processes of one data directory through a file that only their user reads."""
    if settings.internal_token is not None:
        return settings.internal_token
    path = settings.data_dir / "run" / "internal-token"
    if settings.role == "worker" and path.exists():
        return SecretStr(path.read_text())
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    token = secrets.token_hex(32)
    write_secret(path, token)
    return SecretStr(token)


async def bootstrap_notice(
    settings: Settings, dsn: str, url: str, warn: Callable[[str], None] = log.warning
) -> str | None:
    """The notice for the operator of an instance without users; None once there is one.

    The secret is in the fragment, which browsers send to no server; every process of an instance prints the same one.
    """
    connection = await open_connection(dsn)
    try:
        used = await connection.fetchval(
            "SELECT EXISTS (SELECT FROM users) OR EXISTS (SELECT FROM instance_facts WHERE name = $1)", BOOTSTRAPPED
        )
    finally:
        await connection.close()
    if used or settings.nextauth_secret is None:
        return None
    token = setup_token(settings.nextauth_secret.get_secret_value())
    if settings.bootstrap_window is None and is_alone_on_loopback(settings):
        warn(
            f"no user exists yet: for an hour, every client that reaches {url} from this machine can "
            "create the owner, including visitors of a tunnel or TCP forwarder; behind one, set "
            "CREWSHIP_PUBLIC_URL"
        )
    return f"No user exists yet: create the owner at {settings.public_url or url}/#setup_token={token}"


# -- sockets ----------------------------------------------------------------------------------------------------------


def listen_tcp(host: str, port: int) -> socket.socket:
    """Listens at once: clients that come while the database starts wait instead of being refused."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except OSError as error:
        raise StartError(
            f"cannot listen on host {host} ({error.strerror or error}); set CREWSHIP_HOST or --host"
        ) from None
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(2048)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise StartError(
                f"port {port} on {host} is in use; set CREWSHIP_PORT or --port to another one (0 selects a free one)"
            ) from None
        raise StartError(
            f"cannot listen on {host} port {port} ({error.strerror});"
            " set CREWSHIP_HOST or CREWSHIP_PORT, or --host or --port"
        ) from None
    listener.setblocking(False)
    return listener


def listen_unix(path: Path) -> socket.socket:
    """A socket that only this user reaches. Removes the socket of a killed process, and leaves one in use alone."""
    make_private(path.parent)
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except FileNotFoundError:
            pass
        except OSError:
            with contextlib.suppress(PermissionError):  # which `bind` explains
                path.unlink(missing_ok=True)
        else:
            raise StartError(
                f"another process listens on {path}; stop it, or set CREWSHIP_SOCKET_PATH or CREWSHIP_DATA_DIR"
            )
    listener = socket.socket(socket.AF_UNIX)
    mask = os.umask(0o177)
    try:
        listener.bind(str(path))
    except OSError as error:
        listener.close()
        raise StartError(
            f"cannot listen on {path} ({error.strerror}); set CREWSHIP_SOCKET_PATH or CREWSHIP_DATA_DIR"
        ) from None
    finally:
        os.umask(mask)
    listener.listen(2048)
    listener.setblocking(False)
    return listener


@contextlib.contextmanager
def _listeners(settings: Settings) -> Iterator[tuple[str, list[socket.socket]]]:
    """The addresses to print, and the sockets. A worker serves probes on its own socket, and nothing on the network."""
    sockets: list[socket.socket] = []
    path = settings.socket_path
    if settings.role == "worker":
        path = settings.data_dir / "run" / f"worker-{os.getpid()}.sock"
        where = f"unix:{path}"
    else:
        sockets.append(listen_tcp(settings.host, settings.port))
        where = _url(settings.host, sockets[0].getsockname()[1])
    try:
        sockets.append(listen_unix(path))
        try:
            yield where, sockets
        finally:
            path.unlink(missing_ok=True)
    finally:
        for listener in sockets:
            listener.close()


def _url(host: str, port: int) -> str:
    shown = "localhost" if host in ("0.0.0.0", "::", "") else host  # noqa: S104 - compared, not bound
    return f"http://[{shown}]:{port}" if ":" in shown else f"http://{shown}:{port}"


# -- the process ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Notice:
    """The text that is printed when a process serves, and the log line after it."""

    lines: list[str]
    warnings: list[str]

    def tell(self) -> None:
        print("\n".join(self.lines), flush=True)
        for warning in self.warnings:
            log.warning("%s", warning)


class _Server(uvicorn.Server):
    """Reports its address once it serves. `starting` ends with the start."""

    def __init__(self, config: uvicorn.Config, notice: Notice, starting: contextlib.ExitStack) -> None:
        super().__init__(config)
        self._notice, self._starting = notice, starting

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._starting.close()
            self._notice.tell()


def _configuration(app: Any, workers: int) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        factory=isinstance(app, str),
        workers=workers,
        loop="crewship.perimeter.door:Loop",
        http=Protocol,
        ws="crewship.perimeter.websocket:WebSocketProtocol",
        ws_max_size=LARGEST_MESSAGE,
        ws_per_message_deflate=False,  # doubles the cost of a frame, and ready-made frames could not be shared
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # the pipeline decides whose forwarding headers count
        timeout_graceful_shutdown=GRACE,
        timeout_keep_alive=75,  # longer than a proxy in front keeps an idle connection
    )


def worker_application() -> Any:
    """The application of one of several processes; the parent migrated, settled the keys, and runs the database."""
    gc.disable()  # until it is open, as `serve` does
    limit_arenas()
    interrupt_when_parent_dies(signal.SIGTERM)
    settings = load_settings()
    logs.configure(settings.log_level, settings.log_format)
    if settings.database_url is None:
        settings = settings.model_copy(
            update={"database_url": SecretStr(EmbeddedPostgres(settings.data_dir).join().application)}
        )
    token = settings.internal_token or SecretStr((settings.data_dir / "run" / "internal-token").read_text())
    promise_no_processes(settings)
    return _application(keys.with_stored(settings).model_copy(update={"internal_token": token}))


def _application(settings: Settings) -> Any:
    if settings.role == "worker":
        from crewship.process.probes import create_worker

        return create_worker(settings)
    from crewship.process.app import create_app

    return create_app(settings)


def promise_no_processes(settings: Settings) -> None:
    """A process that only answers requests starts no others from here on: an intruder cannot run a command in it."""
    if settings.role == "api":
        from runtime.sandbox import refuse_processes

        refuse_processes()


Application = Callable[[Settings], Any]


def _leave(*_: object) -> NoReturn:
    raise SystemExit(0)


async def ended_by_signals(work: Coroutine[Any, Any, T]) -> T:
    """For work with threads: a signal ends it where it awaits, by SystemExit.

    An exception out of a handler can strike a step too soon: a lock that was just taken (of logging, of an import) is
    then never released, and the thread that needs it, and the end that waits for the thread, hang.
    """
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None

    def cancel(*_: object) -> None:
        loop.call_soon_threadsafe(task.cancel)

    before = {signum: signal.signal(signum, cancel) for signum in (signal.SIGTERM, signal.SIGINT)}
    try:
        return await work
    except asyncio.CancelledError:
        raise SystemExit(0) from None
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)


def serve(settings: Settings, application: Application = _application, progress: Progress | None = None) -> None:
    """Serve until SIGTERM or SIGINT. Raises StartError, PostgresError or KeysError when it cannot. `progress` shows the
    start.
    """
    gc.disable()  # until it is open: what is imported stays, and to walk it again and again is a tenth of a start
    limit_arenas()
    logs.configure(settings.log_level, settings.log_format)
    # uvicorn raises again what it caught, after shutdown; what runs the blocks below to their end is SystemExit.
    signal.signal(signal.SIGTERM, _leave)
    signal.signal(signal.SIGINT, _leave)
    read_documents(settings.trusted_documents_file)  # a fault in them is found before anything is started
    make_private(settings.data_dir)
    raise_descriptor_limit()
    # Imports the application while the database starts, which is mostly waiting; joined before this thread imports
    # more, so two never meet in a cycle.
    loading = threading.Thread(target=_load, args=(settings.role,), name="loading", daemon=True)
    if settings.workers == 1:  # several processes import it for themselves
        loading.start()
    shown = progress.step if progress is not None else _unseen
    with contextlib.ExitStack() as stack:
        where, sockets = stack.enter_context(_listeners(settings))
        with _unseen() if settings.database_url else shown("Starting PostgreSQL", "PostgreSQL runs"):
            access = stack.enter_context(database(settings, archived=True))
        if access.joined:
            log.warning(
                "using the PostgreSQL that another process runs in %s; it ends with that process", settings.data_dir
            )
        try:
            with shown("Migrating the database to this release", f"The database is at revision {migrations.head()}"):
                if loading.is_alive():
                    loading.join()
                ready = asyncio.run(ended_by_signals(prepare(settings, access)))
            with contextlib.ExitStack() as starting:
                starting.enter_context(shown("Starting the service", "The service runs"))
                _run(ready, access, where, sockets, application, starting)
        finally:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            signal.signal(signal.SIGINT, signal.SIG_IGN)


def _load(role: str) -> None:
    importlib.import_module("crewship.process.probes" if role == "worker" else "crewship.process.app")
    if role != "api":
        importlib.import_module("crewship.process.runs")


def tell_step(done: str, seconds: float) -> None:
    """Reports a step of a start outside terminals."""
    log.info("%s (%.1f s)", done, seconds)


def _unseen(*_: str) -> contextlib.AbstractContextManager[None]:
    """A step without progress."""
    return contextlib.nullcontext()


def _notice(settings: Settings, access: Access, where: str) -> Notice:
    if settings.role == "worker":
        return Notice([f"A Crewship worker runs; its probes are at {where}"], [])
    warnings: list[str] = []
    first = asyncio.run(bootstrap_notice(settings, access.application, where, warnings.append))
    return Notice([f"Crewship serves at {where}", *([] if first is None else [first])], warnings)


def _run(
    ready: Settings,
    access: Access,
    where: str,
    sockets: list[socket.socket],
    application: Application,
    starting: contextlib.ExitStack,
) -> None:
    notice = _notice(ready, access, where)
    if ready.workers > 1:
        # What the command line decided reaches the children as environment; secrets do not take that way.
        os.environ |= {
            "CREWSHIP_DATA_DIR": str(ready.data_dir),
            "CREWSHIP_ROLE": ready.role,
            "CREWSHIP_HOST": ready.host,
        }
        os.environ |= {"CREWSHIP_PORT": str(ready.port), "CREWSHIP_WORKERS": str(ready.workers)}
        starting.close()
        notice.tell()
        Multiprocess(_configuration("crewship.process.serve:worker_application", ready.workers), sockets=sockets).run()
    else:
        server = _Server(_configuration(application(ready), 1), notice, starting)
        promise_no_processes(ready)
        server.run(sockets=sockets)
