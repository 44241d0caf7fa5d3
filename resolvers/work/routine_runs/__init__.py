"""Runs of routines: start, read, cancel, and decide what they wait for."""

from resolvers.kernel import Domain
from resolvers.work.routine_runs.batches import (
    RoutineBatch,
    RoutineBatchStarted,
    RoutineBatchStopped,
    cancel_routine_batch,
    get_routine_batch,
    run_routine_batch,
)
from resolvers.work.routine_runs.by_agents import (
    get_agent_routine_run,
    list_agent_routines,
    run_agent_routine,
    save_agent_routine,
    test_agent_routine,
)
from resolvers.work.routine_runs.deciding import (
    RoutineRunCancelled,
    RoutineRunSignalled,
    SignalSent,
    WaitpointDecided,
    cancel_routine_run,
    complete_waitpoint,
    decide_waitpoint,
    send_signal,
    signal_routine_run,
)
from resolvers.work.routine_runs.disabling import RoutineDisabled, disable_routine
from resolvers.work.routine_runs.failing import RoutineFailures, list_routine_failures
from resolvers.work.routine_runs.files import (
    RoutineRunFiles,
    get_routine_run_changes,
    list_routine_run_files,
)
from resolvers.work.routine_runs.listing import (
    find_waitpoints,
    get_routine_run,
    list_active_routine_runs,
    list_routine_run_records,
    list_routine_runs,
    list_waitpoints,
)
from resolvers.work.routine_runs.metadata import RoutineRunMetadata, update_routine_run_metadata
from resolvers.work.routine_runs.overriding import (
    StepOverrideChanged,
    StepOverrides,
    clear_step_override,
    list_step_overrides,
    set_step_override,
)
from resolvers.work.routine_runs.pending import (
    PendingRoutineRunCancelled,
    cancel_pending_routine_run,
    list_pending_routine_runs,
)
from resolvers.work.routine_runs.replaying import RoutineRunsReplayed, replay_routine_runs
from resolvers.work.routine_runs.starting import replay_routine_run, run_routine
from resolvers.work.routine_runs.tracing import (
    RoutineRunLogRow,
    RoutineRunTree,
    get_routine_run_log,
    get_routine_run_tree,
)
from resolvers.work.routine_runs.trials import (
    RoutineDryRun,
    RoutineStepRun,
    RoutineTested,
    dry_run_routine,
    run_routine_step,
    test_run_routine,
)

DOMAIN = Domain("routine_runs", scopes="routines")
