"""Metrics and logs of every operation: by its name, never with its input."""

from bisect import bisect_left
from collections.abc import Iterator
from contextvars import ContextVar
from itertools import accumulate
from typing import Any

from prometheus_client import REGISTRY, Metric
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from resolvers.instance.unseen import unseen

# structlog imports rich, and that pygments, for tracebacks never printed: 7 MB in every process. It can do without.
with unseen("rich", "greenlet"):
    import structlog as structlog

# Until the process sets up its log lines: structlog's own show a traceback's local variables, secrets among them.
structlog.configure(
    processors=[
        structlog.stdlib.add_log_level,
        structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback),
    ]
)

log: Any = structlog.get_logger("crewship")
request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
"""The id of the request being served; set on arrival, and read only when a line is logged."""

BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)  # seconds


class Meter:
    """Calls of one operation by outcome, and how long they took: plain numbers, made into metrics when asked for.

    The library's own counters take locks that one event loop does not need: they were 3 % of a small read.
    """

    __slots__ = ("buckets", "codes", "operation", "seconds")

    def __init__(self, operation: str) -> None:
        self.operation = operation
        self.codes: dict[str, int] = {}
        self.buckets = [0] * (len(BOUNDS) + 1)
        self.seconds = 0.0
        METERS[operation] = self

    def observe(self, seconds: float, code: str | None) -> None:
        self.seconds += seconds
        self.buckets[bisect_left(BOUNDS, seconds)] += 1
        code = code or "OK"
        self.codes[code] = self.codes.get(code, 0) + 1


METERS: dict[str, Meter] = {}


class _ProcessCollector(Collector):
    def collect(self) -> Iterator[Metric]:
        calls = CounterMetricFamily(
            "crewship_operations", "Calls of operations by outcome", labels=["operation", "code"]
        )
        durations = HistogramMetricFamily("crewship_operation_seconds", "Duration of operations", labels=["operation"])
        for name, meter in METERS.items():
            for code, count in meter.codes.items():
                calls.add_metric([name, code], count)
            if meter.codes:
                totals = list(accumulate(meter.buckets))
                named = [*map(str, BOUNDS), "+Inf"]
                durations.add_metric([name], list(zip(named, totals, strict=True)), meter.seconds)
        yield calls
        yield durations


REGISTRY.register(_ProcessCollector())
