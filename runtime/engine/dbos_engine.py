"""Durable execution on DBOS, in the schema `dbos` of the same database: runs of agents, and background jobs.

No other module calls it. Rules that its behaviour requires:

- Its threads that look for work are ended right after its launch (`hush`): a queue is a thread that sends four
  statements each time, with work and without. `claim` does their work when our own look has found something.
- A process is its own executor with its own queue: DBOS resumes by enqueueing, and a run continues where its lease is.
- DBOS recovers nothing by itself: at launch it looks for runs of its own executor id, which is new each time.
- A workflow never ends in an exception, which would be stored and final. A cancelled one leaves its run resumable.
- A step costs it two statements and three threads: `Records` writes the records of runs as DBOS would, many at once,
  and DBOS reads them when it resumes a run. A run does not wait for its records.
- It stores JSON, never a pickle: ids, and names of steps.
- A worker claims everything in a queue, whether it knows the name or not: so every job has a queue of its own, and a
  process claims from the queues of the jobs that it knows.
- It is called in threads of ours: its `_async` calls replace the loop's executor by its own.
"""

import asyncio
import contextvars
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from resolvers.instance.telemetry import log
from resolvers.kernel.declarations.jobs import Job
from runtime.engine.dbos_tables import (
    APPLICATION,
    RELEASE,
    RUN,
    SCHEMA,
    WORKER,
    busy,
    claim_at_once,
    hush,
    load_library,
    ripen,
    url_of,
)
from runtime.engine.dbos_tables import QUEUE as JOBS_QUEUE
from runtime.engine.liveness import new_executor
from runtime.engine.run_records import Records
from runtime.runs.engine import Body

T = TypeVar("T")
POOL = 4  # connections
THREADS = 2  # that call the library, and as many of its own that write down ends of workflows
LEAVE = 5.0  # seconds that records may take when the process ends
UNUSED = 3600.0  # seconds between looks of the library, which are ended before the first

Carry = Callable[[str, str, str | None, dict[str, Any]], Awaitable[None]]
"""Carries a job out: its name, its id, the workspace, and what was sent along. It leaves by CancelledError where
another process is to go on.
"""

library = logging.getLogger("dbos")
library.addHandler(logging.NullHandler())  # it writes to the console unless a handler is there
library.setLevel(logging.ERROR)


class DbosEngine:
    """One a process: DBOS keeps state in globals. It is loaded when a job is to begin or a run to be resumed.

    `jobs` are the background jobs that are carried out here, by `carry`. `pooled`: through a pooler.
    """

    def __init__(self, dsn: str, jobs: Sequence[Job[Any]] = (), *, pooled: bool = False) -> None:
        self._dsn, self._jobs, self._pooled = dsn, jobs, pooled
        self.carry: Carry | None = None
        self.executor = new_executor()
        self.queue = f"{WORKER}{int(time.time())}:{self.executor}"
        self._records = Records(self.executor)
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="crewship-engine")
        self._runs: dict[str, asyncio.Task[None]] = {}
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
                await self._in_thread(self._launch)
                self._awake = True

    async def _in_thread(self, call: Callable[..., T], *values: Any) -> T:
        """Calls outside of DBOS's context, which does not exist in our threads."""
        return await self._loop.run_in_executor(self._threads, call, *values)

    def _launch(self) -> None:
        """Off the event loop: the import alone takes 0.4 s."""
        dbos = load_library()
        self._dbos = dbos.DBOS
        self._dbos(
            config={
                "name": APPLICATION,
                "system_database_url": url_of(self._dsn),
                "dbos_system_schema": SCHEMA,
                "run_migrations": False,
                "application_version": RELEASE,
                "executor_id": self.executor,
                "serializer": dbos.DBOSPortableJSONSerializer(),
                "sys_db_pool_size": POOL,
                "db_engine_kwargs": {"hide_parameters": True, "connect_args": self._connecting},
                "max_executor_threads": THREADS,
                "use_listen_notify": False,
                "notification_listener_polling_interval_sec": 0.05,  # how long its end waits for this one of its looks
                "scheduler_polling_interval_sec": UNUSED,
                "enable_otlp": False,
                "log_level": "ERROR",
            }
        )

        async def run() -> None:  # no method: DBOS marks the function it is given
            await self._workflow_of_a_run()

        self._dbos.workflow(name=RUN, max_recovery_attempts=None)(run)
        for job in self._jobs:
            self._dbos.workflow(name=job.name, max_recovery_attempts=job.attempts)(self._workflow_of(job.name))
        try:
            self._dbos.listen_queues([])
            self._dbos.launch()
            hush()
            self._register()
        except BaseException:
            self._dbos.destroy()  # else the next try is given this one, which is not launched
            raise

    @property
    def _connecting(self) -> dict[str, Any]:
        """Its driver removes prepared statements by SQL, which a pooler does not follow."""
        return {"application_name": "crewship-engine"} | ({"prepare_threshold": None} if self._pooled else {})

    def _register(self) -> None:
        for job in self._jobs:
            self._dbos.register_queue(
                JOBS_QUEUE + job.name,
                worker_concurrency=job.at_once,
                global_concurrency=job.everywhere,
                partition_concurrency=1 if job.partitioned else None,
                limiter=None if job.rate is None else {"limit": job.rate.limit, "period": job.rate.seconds},
                polling_interval_sec=UNUSED,
                on_conflict="always_update",
            )

    async def close(self) -> None:
        for body in self._runs.values():
            body.cancel()
        if ending := {*self._runs.values(), *self._tasks}:
            await asyncio.wait(ending, timeout=LEAVE)
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._records.close(LEAVE)
        async with self._waking:
            self._closed = True
            if self._awake:
                await self._in_thread(self._leave)
                self._awake = False
        await asyncio.to_thread(self._threads.shutdown)

    def _leave(self) -> None:
        try:
            self._dbos.delete_queue(self.queue)
        except Exception as error:
            log.warning("the engine's queue was not removed", error=type(error).__name__)
        self._dbos.destroy()

    # ---- runs ----------------------------------------------------------------------------------------------------

    async def start(self, run_id: str) -> None:
        self._records.begun(run_id)
        self._begin(run_id).add_done_callback(lambda body: self._records.ended(run_id) if _finished(body) else None)

    def _begin(self, run_id: str) -> asyncio.Task[None]:
        """Outside of DBOS's context: to it, what a body asks for would be steps of the workflow."""
        body = self._loop.create_task(self._call(run_id), name=run_id, context=self._context.copy())
        self._runs[run_id] = body
        body.add_done_callback(self._drop)
        return body

    async def _call(self, run_id: str) -> None:
        await self._body(run_id)

    def _drop(self, body: asyncio.Task[None]) -> None:
        run_id = body.get_name()
        if not body.cancelled() and (error := body.exception()) is not None:
            log.error("run not executed", run=run_id, exc_info=error)
        if self._runs.get(run_id) is body:
            del self._runs[run_id]
            self._records.left(run_id)

    async def resume(self, run_id: str) -> None:
        """Resumes through DBOS: it puts the run into this process's queue and starts the runs that it finds there."""
        await self.wake()
        await self._records.settle()
        if not await self._in_thread(self._resume, run_id):  # who began it was gone before that came on record
            await self.start(run_id)

    def _resume(self, run_id: str) -> bool:
        state = self._dbos.get_workflow_status(run_id)
        if state is None:
            return False
        self._dbos.register_queue(self.queue, polling_interval_sec=UNUSED, on_conflict="never_update")
        if state.status in ("SUCCESS", "ERROR"):
            self._dbos.rewind_workflow(run_id, application_version=RELEASE, queue_name=self.queue)
        else:
            self._dbos.resume_workflow(run_id, queue_name=self.queue)
        claim_at_once(self.queue)
        return True

    async def _workflow_of_a_run(self) -> None:
        """The workflow of a run that is resumed: on a loop of DBOS. It ends as the body does."""
        run_id = self._dbos.workflow_id
        assert run_id is not None
        await self._here(self._resumed(run_id))

    async def _here(self, work: Coroutine[Any, Any, None]) -> None:
        """In our loop: there are the pool and the bus."""
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))

    async def _resumed(self, run_id: str) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self._records.resumed(run_id)
        body = self._begin(run_id)
        await asyncio.wait([body])
        if not _finished(body):
            raise asyncio.CancelledError("the run continues elsewhere")

    async def cancel(self, run_id: str) -> None:
        await self._records.cancel(run_id)

    def record(self, run_id: str, step: str) -> None:
        self._records.step(run_id, step)

    async def recorded(self, run_id: str) -> list[str]:
        return await self._records.steps(run_id)

    # ---- jobs ----------------------------------------------------------------------------------------------------

    async def claim(self, name: str) -> None:
        """Jobs of this name that could begin."""
        if self._awake:
            await self._in_thread(claim_at_once, JOBS_QUEUE + name)

    async def ripen(self) -> None:
        """Timers that have ended are jobs that could begin."""
        await self.wake()
        await self._in_thread(ripen)

    def busy(self) -> list[str]:
        """The ids of the runs and jobs that are carried out in this process."""
        return busy() if self._awake else []

    def _workflow_of(self, name: str) -> Callable[[dict[str, Any]], Coroutine[Any, Any, None]]:
        async def job(sent: dict[str, Any]) -> None:  # no method, as for runs
            await self._workflow_of_a_job(name, sent)

        return job

    async def _workflow_of_a_job(self, name: str, sent: dict[str, Any]) -> None:
        """It begins on a loop of DBOS, and the job is carried out on ours."""
        job_id, workspace_id = self._dbos.workflow_id, self._dbos.authenticated_user
        assert job_id is not None
        await self._here(self._carry_out(name, job_id, workspace_id, sent))

    async def _carry_out(self, name: str, job_id: str, workspace_id: str | None, sent: dict[str, Any]) -> None:
        assert self.carry is not None
        await self._loop.create_task(
            self._carried(self.carry, name, job_id, workspace_id, sent), context=self._context.copy()
        )

    @staticmethod
    async def _carried(carry: Carry, *what: Any) -> None:
        await carry(*what)

    async def forget(self, older_than: float) -> None:
        await self._records.forget(time.time() - older_than, self.queue)


def _finished(body: asyncio.Task[None]) -> bool:
    return body.done() and not body.cancelled() and body.exception() is None
