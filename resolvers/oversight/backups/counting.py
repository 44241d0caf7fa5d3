"""Counters of what this process has backed up and restored, since it started."""

from collections import Counter, deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from resolvers.instance.bundles.faults import BundleError
from resolvers.kernel import Refusal
from resolvers.oversight.backups.locking import HELD
from resolvers.oversight.backups.outputs import BackupCreated, BackupMetrics

MOST_TIMES: Final = 1_000
"""Durations that are remembered: the newest."""
CREATE: Final = "create"
RESTORE: Final = "restore"
NOTHING_NEW: Final = "Nothing was restored: every row is there already"
REASONS: Final[Mapping[str, str]] = {HELD: "lock_held", NOTHING_NEW: "noop_restore"}
"""The reasons of refusals, by their texts; a fault of a bundle is a reason by itself."""
OTHER: Final = "other"


class BackupCounters:
    """Counts are of all workspaces. A dry run is not counted."""

    def __init__(self) -> None:
        self._created, self._failed = Counter[str](), Counter[str]()
        self._restored = self._bytes = 0
        self._seconds = deque[float](maxlen=MOST_TIMES)

    def created(self, made: BackupCreated, seconds: float) -> None:
        self._created[made.scope] += 1
        self._bytes += made.size_bytes
        self._seconds.append(seconds)

    def restored(self) -> None:
        self._restored += 1

    @contextmanager
    def failures_of(self, operation: str, *, counted: bool = True) -> Iterator[None]:
        try:
            yield
        except BaseException as error:
            self._failed[f"{operation}:{reason_of(error)}"] += counted
            raise

    def report(self, held: dict[str, int]) -> BackupMetrics:
        seconds = sorted(self._seconds)
        return BackupMetrics(
            created_total=self._created.total(),
            created_by_scope=dict(self._created),
            failed_total=self._failed.total(),
            failed_by_reason={reason: number for reason, number in self._failed.items() if number},
            restored_total=self._restored,
            size_bytes_total=self._bytes,
            duration_seconds_p50=_percentile(seconds, 50),
            duration_seconds_p95=_percentile(seconds, 95),
            duration_seconds_mean=round(sum(seconds) / len(seconds), 3) if seconds else 0.0,
            lock_held_seconds_by_workspace=held,
        )


def reason_of(error: BaseException) -> str:
    if isinstance(error, BundleError):
        return error.fault.value
    if not isinstance(error, Refusal):
        return OTHER
    return "invalid_scope" if "scope" in error.fields else REASONS.get(error.detail, OTHER)


def _percentile(values: list[float], percent: int) -> float:
    """The smallest value that is at least as large as this share of them."""
    return round(values[max(-(-len(values) * percent // 100), 1) - 1], 3) if values else 0.0


counters: Final = BackupCounters()
