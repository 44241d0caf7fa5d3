"""Sends the metrics of /metrics to a collector of OpenTelemetry.

The export reads the instruments of Prometheus, so that nothing is counted twice. Without a collector, nothing is
loaded.
"""

import asyncio
import contextlib
import os
import socket
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Metric

from resolvers.instance import collector
from resolvers.instance.telemetry import log
from resolvers.oversight.system.measured import of_database, read_facts

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics.export import Metric as Instrument

LAST: Final = 2.0  # seconds for the last measurements of a process that ends
UNITS: Final = {"_seconds": "s", "_bytes": "By"}
BEGAN: Final = time.time_ns()
FAILED: Final = Counter(
    "crewship_metrics_export_failures", "Attempts to send metrics to the collector that failed, by reason", ["reason"]
)

Labels = tuple[tuple[str, str], ...]


@contextlib.asynccontextmanager
async def exporting(address: str | None, every: float) -> AsyncIterator[None]:
    """Sends metrics at intervals while the block runs, and once more at its end."""
    if address is None:
        yield
        return
    repeating = asyncio.create_task(_repeat(address, every))
    try:
        yield
    finally:
        repeating.cancel()
        await asyncio.gather(repeating, return_exceptions=True)
        with contextlib.suppress(collector.NotExported, TimeoutError):
            async with asyncio.timeout(LAST):
                await send(address, time=LAST)


async def _repeat(address: str, every: float) -> None:
    """Sums are cumulative: after a failure, the next ones contain everything. After a refusal, the process sends
    nothing more, because the collector may take only traces. An unexpected error ends one attempt.
    """
    away = False
    while True:
        await asyncio.sleep(every)
        try:
            if not await send(address):
                return
            away = False
        except collector.NotExported as error:
            FAILED.labels("collector").inc()
            if not away:
                log.warning("metrics are not exported", error=str(error))
            away = True
        except Exception:
            FAILED.labels("error").inc()
            log.exception("metrics are not exported")


async def send(address: str, *, time: float = collector.TIME) -> bool:
    """Raises NotExported."""
    asked = await of_database(read_facts)
    body = await asyncio.to_thread(lambda: encoded([REGISTRY, asked]))
    return await collector.post(address, body, of="metrics", time=time)


def encoded(registries: Sequence[CollectorRegistry]) -> bytes:
    from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
    from opentelemetry.sdk.metrics.export import MetricsData, ResourceMetrics, ScopeMetrics
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope

    process = {
        "service.name": "crewship",
        "service.version": version("crewship"),
        "service.instance.id": f"{socket.gethostname()}:{os.getpid()}",
    }
    now = time.time_ns()
    found = [instrument(each, now) for registry in registries for each in registry.collect() if each.samples]
    scope = ScopeMetrics(InstrumentationScope("crewship", version("crewship")), found, "")
    body: bytes = encode_metrics(MetricsData([ResourceMetrics(Resource(process), [scope], "")])).SerializeToString()
    return body


def instrument(metric: Metric, now: int) -> "Instrument":
    """The name is the one that Prometheus shows, without `_total`, which Prometheus adds to counters again."""
    from opentelemetry.sdk.metrics import export as otel

    data: otel.Sum | otel.Histogram | otel.Gauge
    if metric.type == "counter":
        ours = (each for each in metric.samples if each.name.endswith("_total"))
        data = otel.Sum(_numbers(ours, now, BEGAN), otel.AggregationTemporality.CUMULATIVE, is_monotonic=True)
    elif metric.type == "histogram":
        data = otel.Histogram(_histograms(metric, now), otel.AggregationTemporality.CUMULATIVE)
    else:
        data = otel.Gauge(_numbers(metric.samples, now, None))
    unit = next((unit for end, unit in UNITS.items() if metric.name.endswith(end)), "")
    return otel.Metric(metric.name, metric.documentation, unit, data)


def _numbers(samples: Iterable[Any], now: int, began: int | None) -> list[Any]:
    from opentelemetry.sdk.metrics.export import NumberDataPoint

    return [NumberDataPoint(each.labels, began, now, float(each.value)) for each in samples]  # type: ignore[arg-type]


def _histograms(metric: Metric, now: int) -> list[Any]:
    """A bucket of Prometheus counts all values below its bound; a bucket of OTLP counts values between two bounds."""
    from opentelemetry.sdk.metrics.export import HistogramDataPoint

    buckets: Mapping[Labels, dict[float, float]] = defaultdict(dict)
    sums: dict[Labels, float] = {}
    for sample in metric.samples:
        labels = tuple(sorted((name, value) for name, value in sample.labels.items() if name != "le"))
        if sample.name.endswith("_bucket"):
            buckets[labels][float(sample.labels["le"])] = sample.value
        elif sample.name.endswith("_sum"):
            sums[labels] = sample.value
    made = []
    for labels, below in buckets.items():
        bounds = sorted(below)
        totals = [int(below[bound]) for bound in bounds]
        counts = [most - least for least, most in zip([0, *totals], totals, strict=False)]
        # Without the smallest and the largest value, which Prometheus does not keep.
        made.append(HistogramDataPoint(
            dict(labels), BEGAN, now, totals[-1], sums[labels], counts, bounds[:-1], None, None,  # type: ignore[arg-type]
        ))  # fmt: skip
    return made
