"""Durable execution on DBOS, in the schema `dbos` of the same database. The only module that knows it.

Rules that its behaviour asks for:

- A process is an executor of its own, and has a queue of its own: DBOS resumes by enqueueing, and a run must go on where its lease is.
- DBOS recovers nothing by itself: at launch it looks for runs of its own executor id, which is new each time.
- The application version is pinned. Left alone it is a hash of the code, and a deployment would strand the runs of the one before.
- A body never ends in an exception, which would be stored and final. One that was cancelled leaves its run resumable.
- What is stored is JSON, never a pickle: ids of runs and names of steps.
"""

import asyncio
import logging
import os
import secrets
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

from resolvers.kernel.telemetry import log
from runtime.engine import Body

SCHEMA = "dbos"
APPLICATION = "crewship"
VERSION = "1"
POOL = 4  # connections, and one more that listens
POLL = 0.25  # seconds between looks at this process's own queue: how long a run that is taken over waits
FORGOTTEN_AT_ONCE = 500
QUEUE = "worker:"

library = logging.getLogger("dbos")
library.addHandler(logging.NullHandler())  # it writes to the console unless a handler is there
library.setLevel(logging.ERROR)


async def prepare_engine(owner_dsn: str, application_role: str | None) -> None:
    """Makes or upgrades DBOS's schema as the owner of the tables, and lets the application's role (None: it is the owner) use it.

    That role gets USAGE on the schema and all rights on its tables, sequences and functions; it creates nothing.
    """
    await asyncio.to_thread(_migrate, owner_dsn, application_role)


def _migrate(owner_dsn: str, application_role: str | None) -> None:
    from dbos import DBOS

    DBOS.migrate(_url(owner_dsn), schema=SCHEMA, application_role=application_role)


def _url(dsn: str) -> str:
    """SQLAlchemy knows no `postgres:`; hosts and ports in the query, as for unix sockets, it hands on to libpq."""
    return dsn.replace("postgres:", "postgresql:", 1)


class _Unrecorded(BaseException):
    """Carries what a step raised past DBOS, which would store an Exception as the step's outcome."""

    def __init__(self, error: Exception) -> None:
        super().__init__("unrecorded")
        self.error = error


class DbosEngine:
    """One a process: DBOS keeps its state in globals."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self.executor = f"{os.getpid()}-{secrets.token_hex(8)}"
        self.queue = f"{QUEUE}{int(time.time())}:{self.executor}"
        self._bodies: set[asyncio.Task[Any]] = set()

    async def open(self, body: Body) -> None:
        self._loop, self._body = asyncio.get_running_loop(), body
        await asyncio.to_thread(self._launch)

    def _launch(self) -> None:
        """Off the event loop: the import alone takes 0.4 s."""
        import dbos

        self._library, self._dbos = dbos, dbos.DBOS
        self._dbos(
            config={
                "name": APPLICATION,
                "system_database_url": _url(self._dsn),
                "dbos_system_schema": SCHEMA,
                "run_migrations": False,
                "application_version": VERSION,
                "executor_id": self.executor,
                "serializer": dbos.DBOSPortableJSONSerializer(),
                "sys_db_pool_size": POOL,
                "db_engine_kwargs": {"hide_parameters": True, "connect_args": {"application_name": "crewship-engine"}},
                "notification_coalesce_sec": 1.0,  # we send none; its thread wakes up at this interval
                "enable_otlp": False,
                "log_level": "ERROR",
            }
        )

        async def run() -> None:  # no method: DBOS marks the function it is given
            await self._run()

        self._workflow = self._dbos.workflow(name="run", max_recovery_attempts=None)(run)
        self._register()
        self._dbos.listen_queues([self.queue])
        try:
            self._dbos.launch()
        except BaseException:
            self._dbos.destroy()  # it takes a launch that failed for one that was made
            raise

    def _register(self) -> None:
        """By a client: the queue is there when DBOS first looks, and it looks for new ones once a second only."""
        client = self._library.DBOSClient(
            system_database_url=_url(self._dsn), dbos_system_schema=SCHEMA, application_name=APPLICATION, system_database_pool_size=1
        )
        try:
            client.register_queue(self.queue, polling_interval_sec=POLL, on_conflict="never_update")
        finally:
            client.destroy()

    async def close(self) -> None:
        for task in self._bodies:
            task.cancel()
        await asyncio.gather(*self._bodies, return_exceptions=True)
        self._loop.set_default_executor(ThreadPoolExecutor())  # DBOS put its own there, which ends with it
        await asyncio.to_thread(self._leave)

    def _leave(self) -> None:
        try:
            self._dbos.delete_queue(self.queue)
        except Exception as error:
            log.warning("the engine's queue stays behind", error=type(error).__name__)
        self._dbos.destroy()

    # ---- runs ----------------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        """The workflow. Resumed ones begin on a loop of DBOS; the context variable that ties steps to them comes along."""
        run_id = self._dbos.workflow_id
        assert run_id is not None
        if asyncio.get_running_loop() is self._loop:
            await self._carry(run_id)
        else:
            await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(self._carry(run_id), self._loop))

    async def _carry(self, run_id: str) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._bodies.add(task)
        try:
            await self._body(run_id)
        except Exception as error:
            log.error("run not carried out", run_id=run_id, exc_info=error)
            raise asyncio.CancelledError from error
        finally:
            self._bodies.discard(task)

    async def start(self, run_id: str) -> None:
        try:
            with self._library.SetWorkflowID(run_id, workflow_id_reuse_policy="reject"):
                await self._dbos.start_workflow_async(self._workflow)
        except self._library.error.DBOSWorkflowIDInUseError:
            await self.resume(run_id)

    async def resume(self, run_id: str) -> None:
        state = await self._dbos.get_workflow_status_async(run_id)
        if state is None:  # the process that claimed the run was gone before it had begun
            await self.start(run_id)
        elif state.status in ("SUCCESS", "ERROR"):
            await self._dbos.rewind_workflow_async(run_id, application_version=VERSION, queue_name=self.queue)
        else:
            await self._dbos.resume_workflow_async(run_id, queue_name=self.queue)

    async def fork(self, run_id: str, new_run_id: str, before: int) -> None:
        with self._library.SetWorkflowID(new_run_id):
            await self._dbos.fork_workflow_async(run_id, before, application_version=VERSION, queue_name=self.queue)

    async def cancel(self, run_id: str) -> None:
        await self._dbos.cancel_workflow_async(run_id)

    async def step(self, name: str, body: Callable[[], Awaitable[None]]) -> bool:
        called = False

        async def once() -> str:
            nonlocal called
            called = True
            try:
                await body()
            except Exception as error:
                raise _Unrecorded(error) from error
            return name

        try:
            await self._dbos.run_step_async({"name": name}, once)
        except _Unrecorded as aside:
            raise aside.error from aside.error.__cause__
        except (self._library.error.DBOSWorkflowConflictIDError, self._library.error.DBOSWorkflowCancelledError) as gone:
            raise asyncio.CancelledError("another process has the run") from gone
        except Exception as error:
            # Its record is of no use (steps that ran side by side may come in another order): the caller's own decides.
            log.debug("engine's record of a step not used", step=name, error=type(error).__name__)
            if not called:
                await body()
                called = True
        return called

    # ---- housekeeping --------------------------------------------------------------------------------------------

    async def forget(self, older_than: float) -> None:
        before = time.time() - older_than
        end = datetime.fromtimestamp(before, UTC).isoformat()
        while True:
            old = await self._dbos.list_workflows_async(end_time=end, limit=FORGOTTEN_AT_ONCE, load_input=False, load_output=False)
            if old:
                await self._dbos.delete_workflows_async([state.workflow_id for state in old])
            if len(old) < FORGOTTEN_AT_ONCE:
                break
        for queue in await self._dbos.list_queues_async():
            if queue.name.startswith(QUEUE) and int(queue.name.split(":")[1]) < before:
                await self._dbos.delete_queue_async(queue.name)
        await asyncio.to_thread(self._register)  # this process may be older than that itself
