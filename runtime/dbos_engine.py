"""Durable execution on DBOS, in the schema `dbos` of the same database: runs of agents, and background jobs.

No other module calls it. Rules that its behaviour asks for:

- A process is its own executor with its own queue: DBOS resumes by enqueueing, and a run goes on where its lease is.
- DBOS recovers nothing by itself: at launch it looks for runs of its own executor id, which is new each time.
- The application version is pinned. Left alone it is a hash of the code, and a deployment would strand older runs.
- A workflow never ends in an exception, which would be stored and final. A cancelled one leaves its run resumable.
- A step costs it two statements and three threads: names of steps are written behind the body's back, and a run does
  not wait to be on record.
- What is stored is JSON, never a pickle: ids, and names of steps.
- A worker claims what it finds in a queue, whether it knows the name or not: so every job has a queue of its own, and a
  process listens to those of the jobs it knows.
"""

import asyncio
import contextvars
import logging
import os
import secrets
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

from resolvers.instance.telemetry import log
from resolvers.kernel.jobs import Job
from runtime.dbos_tables import ENDED, SCHEMA, busy, claim_at_once, url_of
from runtime.dbos_tables import QUEUE as JOBS_QUEUE
from runtime.engine import Body

APPLICATION = "crewship"
VERSION = "1"
POOL = 4  # connections, and one more that listens
POLL_OF_JOBS = 2.0  # seconds between looks at the queue of a job; a ring does not wait for them
POLL = 0.25  # seconds between looks at this process's own queue: how long a run that is taken over waits
FORGOTTEN_AT_ONCE = 500
QUEUE = "worker:"
NAME = "run"  # of the workflow of a run
LEAVE = 5.0  # seconds that records may take when the process ends

Carry = Callable[[str, str, str | None, dict[str, Any]], Awaitable[None]]
"""Carries a job out: its name, its id, the workspace, and what was sent along. It leaves by CancelledError where
another process is to go on.
"""

library = logging.getLogger("dbos")
library.addHandler(logging.NullHandler())  # it writes to the console unless a handler is there
library.setLevel(logging.ERROR)


def new_executor() -> str:
    """The name under which this process holds jobs and ticks."""
    return f"{os.getpid()}-{secrets.token_hex(8)}"


class _Run:
    """A run that is carried out here: its body, and the names of its steps on their way to the record."""

    def __init__(self, body: asyncio.Task[None]) -> None:
        self.body = body
        self.steps: asyncio.Queue[str | None] = asyncio.Queue()
        body.add_done_callback(self._ended)

    def _ended(self, body: asyncio.Task[None]) -> None:
        if not body.cancelled() and (error := body.exception()) is not None:
            log.error("run not carried out", run=body.get_name(), exc_info=error)
        self.steps.put_nowait(None)

    @property
    def finished(self) -> bool:
        return self.body.done() and not self.body.cancelled() and self.body.exception() is None


class DbosEngine:
    """One a process: DBOS keeps state in globals. It is loaded when the first run comes, which does not wait for it.

    `jobs` are the background jobs that are carried out here, by `carry`.
    """

    def __init__(self, dsn: str, jobs: Sequence[Job[Any]] = ()) -> None:
        self._dsn, self._jobs = dsn, jobs
        self.carry: Carry | None = None
        self.executor = new_executor()
        self.queue = f"{QUEUE}{int(time.time())}:{self.executor}"
        self._runs: dict[str, _Run] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._waking = asyncio.Lock()
        self._awake = self._closed = False

    async def open(self, body: Body) -> None:
        self._loop, self._body, self._context = asyncio.get_running_loop(), body, contextvars.copy_context()

    async def wake(self) -> None:
        """Loads and connects, unless that is done. What fails is tried again at the next use."""
        async with self._waking:
            if self._closed:
                raise RuntimeError("the engine is closed")
            if not self._awake:
                await asyncio.to_thread(self._launch)
                self._awake = True

    def _launch(self) -> None:
        """Off the event loop: the import alone takes 0.4 s."""
        import dbos

        self._library, self._dbos = dbos, dbos.DBOS
        self._dbos(
            config={
                "name": APPLICATION,
                "system_database_url": url_of(self._dsn),
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
            await self._workflow_of_a_run()

        self._workflow = self._dbos.workflow(name=NAME, max_recovery_attempts=None)(run)
        for job in self._jobs:
            self._dbos.workflow(name=job.name, max_recovery_attempts=job.attempts)(self._workflow_of(job.name))
        try:
            self._register()
            self._dbos.listen_queues([self.queue, *[JOBS_QUEUE + job.name for job in self._jobs]])
            self._dbos.launch()
        except BaseException:
            self._dbos.destroy()  # else the next try is given this one, which is not launched
            raise

    def _register(self) -> None:
        """By a client: the queue is there when DBOS first looks, and it looks for new ones once a second only."""
        client = self._library.DBOSClient(
            system_database_url=url_of(self._dsn),
            dbos_system_schema=SCHEMA,
            application_name=APPLICATION,
            system_database_pool_size=1,
        )
        try:
            client.register_queue(self.queue, polling_interval_sec=POLL, on_conflict="never_update")
            for job in self._jobs:
                client.register_queue(
                    JOBS_QUEUE + job.name,
                    worker_concurrency=job.at_once,
                    global_concurrency=job.everywhere,
                    partition_concurrency=1 if job.partitioned else None,
                    limiter=None if job.rate is None else {"limit": job.rate.limit, "period": job.rate.seconds},
                    polling_interval_sec=POLL_OF_JOBS,
                    on_conflict="always_update",
                )
        finally:
            client.destroy()

    async def close(self) -> None:
        for run in self._runs.values():
            run.body.cancel()
        if ending := {run.body for run in self._runs.values()} | self._tasks:
            await asyncio.wait(ending, timeout=LEAVE)
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        async with self._waking:
            self._closed = True
            if self._awake:
                self._loop.set_default_executor(ThreadPoolExecutor())  # DBOS put its own there, which ends with it
                await asyncio.to_thread(self._leave)
                self._awake = False

    def _leave(self) -> None:
        try:
            self._dbos.delete_queue(self.queue)
        except Exception as error:
            log.warning("the engine's queue stays behind", error=type(error).__name__)
        self._dbos.destroy()

    # ---- runs ----------------------------------------------------------------------------------------------------

    def _begin(self, run_id: str) -> _Run:
        """Outside of DBOS's context: to it, what a body asks for would be steps of the workflow."""
        made = self._runs[run_id] = _Run(
            self._loop.create_task(self._call(run_id), name=run_id, context=self._context.copy())
        )
        return made

    async def _call(self, run_id: str) -> None:
        await self._body(run_id)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _workflow_of_a_run(self) -> None:
        """The workflow: it writes down what the body has done, and ends as it does.

        Resumed ones begin on a loop of DBOS; the context variable that ties steps to their workflow comes along.
        """
        run_id = self._dbos.workflow_id
        assert run_id is not None
        if asyncio.get_running_loop() is self._loop:
            await self._write_down(run_id)
        else:
            await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(self._write_down(run_id), self._loop))

    async def _write_down(self, run_id: str) -> None:
        run, task = self._runs.get(run_id) or self._begin(run_id), asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            while (step := await run.steps.get()) is not None:
                await self._write(step)
        finally:
            self._tasks.discard(task)
            self._drop(run_id, run)
        if not run.finished:
            raise asyncio.CancelledError("the run goes on elsewhere")

    async def _write(self, step: str) -> None:
        async def done() -> str:
            return step

        try:
            await self._dbos.run_step_async({"name": step}, done)
        except (self._library.error.DBOSWorkflowConflictIDError, self._library.error.DBOSWorkflowCancelledError):
            log.debug("another process has the run", step=step)
        except Exception as error:  # steps that ran side by side may come in another order than before
            log.debug("step not on record", step=step, error=type(error).__name__)

    async def start(self, run_id: str) -> None:
        self._spawn(self._start(run_id, self._begin(run_id)))

    async def _start(self, run_id: str, run: _Run) -> None:
        try:
            await self.wake()
            with self._library.SetWorkflowID(run_id, workflow_id_reuse_policy="reject"):
                await self._dbos.start_workflow_async(self._workflow)
        except Exception as error:
            if self._awake and isinstance(error, self._library.error.DBOSWorkflowIDInUseError):
                return await self._resume(run_id)
            log.warning("run not on record", run_id=run_id, error=type(error).__name__)
            await asyncio.wait([run.body])
            self._drop(run_id, run)

    def _drop(self, run_id: str, run: _Run) -> None:
        if self._runs.get(run_id) is run:
            del self._runs[run_id]

    async def resume(self, run_id: str) -> None:
        await self.wake()
        self._runs.pop(run_id, None)  # of an attempt that has ended
        await self._resume(run_id)

    async def _resume(self, run_id: str) -> None:
        state = await self._dbos.get_workflow_status_async(run_id)
        if state is None:  # the process that began it was gone before that came on record
            await self.start(run_id)
        elif state.status in ("SUCCESS", "ERROR"):
            await self._dbos.rewind_workflow_async(run_id, application_version=VERSION, queue_name=self.queue)
        else:
            await self._dbos.resume_workflow_async(run_id, queue_name=self.queue)

    async def cancel(self, run_id: str) -> None:
        await self.wake()
        await self._dbos.cancel_workflow_async(run_id)

    def record(self, run_id: str, step: str) -> None:
        run = self._runs.get(run_id)
        if run is not None:
            run.steps.put_nowait(step)

    async def recorded(self, run_id: str) -> list[str]:
        await self.wake()
        return [step["function_name"] for step in await self._dbos.list_workflow_steps_async(run_id)]

    # ---- jobs ----------------------------------------------------------------------------------------------------

    async def claim(self, name: str) -> None:
        """Jobs of this name, before the poller looks again."""
        if self._awake:
            await asyncio.to_thread(claim_at_once, JOBS_QUEUE + name)

    def busy(self) -> list[str]:
        """The ids of the runs and jobs that are carried out in this process."""
        return busy() if self._awake else []

    def _workflow_of(self, name: str) -> Callable[[dict[str, Any]], Coroutine[Any, Any, None]]:
        async def job(sent: dict[str, Any]) -> None:  # no method, as for runs
            await self._workflow_of_a_job(name, sent)

        return job

    async def _workflow_of_a_job(self, name: str, sent: dict[str, Any]) -> None:
        """It begins on a loop of DBOS, and the job is carried out on ours: there are the pool and the bus."""
        job_id, workspace_id = self._dbos.workflow_id, self._dbos.authenticated_user
        assert job_id is not None
        carried = self._carry_out(name, job_id, workspace_id, sent)
        await (
            carried
            if asyncio.get_running_loop() is self._loop
            else asyncio.wrap_future(asyncio.run_coroutine_threadsafe(carried, self._loop))
        )

    async def _carry_out(self, name: str, job_id: str, workspace_id: str | None, sent: dict[str, Any]) -> None:
        assert self.carry is not None
        await self._loop.create_task(
            self._carried(self.carry, name, job_id, workspace_id, sent), context=self._context.copy()
        )

    @staticmethod
    async def _carried(carry: Carry, *what: Any) -> None:
        await carry(*what)

    # ---- housekeeping --------------------------------------------------------------------------------------------

    async def forget(self, older_than: float) -> None:
        if not self._awake:
            return
        before = time.time() - older_than
        end = datetime.fromtimestamp(before, UTC).isoformat()
        while True:
            old = await self._dbos.list_workflows_async(
                name=NAME,
                status=list(ENDED),
                end_time=end,
                limit=FORGOTTEN_AT_ONCE,
                load_input=False,
                load_output=False,
            )
            if old:
                await self._dbos.delete_workflows_async([state.workflow_id for state in old])
            if len(old) < FORGOTTEN_AT_ONCE:
                break
        for queue in await self._dbos.list_queues_async():
            if queue.name.startswith(QUEUE) and int(queue.name.split(":")[1]) < before:
                await self._dbos.delete_queue_async(queue.name)
        await asyncio.to_thread(self._register)  # this process may be older than that itself
