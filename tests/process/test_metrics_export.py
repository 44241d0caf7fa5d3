"""A collector of OpenTelemetry receives the metrics of /metrics; without one, the process sends nothing."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.parser import text_string_to_metric_families
from pydantic import SecretStr

from crewship.process import metrics_export
from resolvers.instance.settings import load_settings
from tests.attention.notification_channels.test_channels import Receiver
from tests.process.commands import ROOT, environment, migrated, serving, until
from tests.world import World, world_on

pytestmark = pytest.mark.anyio


def sent(body: bytes) -> tuple[dict[str, str], dict[str, Any]]:
    """What a request says of the process, and its metrics by name."""
    [of_process] = ExportMetricsServiceRequest.FromString(body).resource_metrics
    resource = {each.key: each.value.string_value for each in of_process.resource.attributes}
    return resource, {metric.name: metric for scope in of_process.scope_metrics for metric in scope.metrics}


def labels(point: Any) -> dict[str, str]:
    return {each.key: each.value.string_value for each in point.attributes}


def test_each_kind_of_instrument_keeps_its_numbers() -> None:
    registry = CollectorRegistry()
    Counter("calls", "Calls", ["code"], registry=registry).labels("OK").inc(3)
    Gauge("size_bytes", "Size", registry=registry).set(7)
    taken = Histogram("taken_seconds", "Time", ["of"], buckets=(1, 2), registry=registry).labels("x")
    for seconds in (0.5, 1.5, 1.5, 9):
        taken.observe(seconds)
    resource, found = sent(metrics_export.encoded([registry]))
    assert resource["service.name"] == "crewship"
    assert resource["service.instance.id"]
    [calls] = found["calls"].sum.data_points
    assert (calls.as_double, labels(calls), found["calls"].sum.is_monotonic) == (3, {"code": "OK"}, True)
    assert 0 < calls.start_time_unix_nano < calls.time_unix_nano
    [size] = found["size_bytes"].gauge.data_points
    assert (size.as_double, found["size_bytes"].unit) == (7, "By")
    [spread] = found["taken_seconds"].histogram.data_points
    assert (list(spread.explicit_bounds), list(spread.bucket_counts)) == ([1, 2], [1, 2, 1])
    assert (spread.count, spread.sum, labels(spread), spread.HasField("max")) == (4, 12.5, {"of": "x"}, False)


async def test_a_collector_receives_the_metrics_that_a_scrape_shows(database: Any, tmp_path: Path) -> None:
    async with Receiver().listening() as receiver:
        more = {"OTEL_EXPORTER_OTLP_HEADERS": "api-key=se%20cret"}
        settings = {"otel_metrics_endpoint": SecretStr(receiver.url), "otel_metrics_interval": 1000}
        settings |= {"otel_headers": SecretStr(more["OTEL_EXPORTER_OTLP_HEADERS"])}
        async with world_on(database, tmp_path, **settings) as world:
            await world.rest(world.viewer, "GET", "/api/v1/labels")
            shown = (await world.rest(None, "GET", "/metrics", workspace=None)).text
            async with asyncio.timeout(30):
                while not receiver.got:
                    await asyncio.sleep(0.02)
            before = len(receiver.got)
        assert len(receiver.got) > before, "the last measurements were not sent"
    headers, body = receiver.got[-1]
    assert (headers["api-key"], headers["content-type"]) == ("se cret", "application/x-protobuf")
    families = {family.name for family in text_string_to_metric_families(shown) if family.samples}
    families = {name for name in families if not name.endswith("_created")}  # times, which each sum has
    assert {"crewship_operations", "crewshipd_db_migration_version", "crewshipd_uptime_seconds"} <= families
    assert families <= set(sent(body)[1])


async def test_after_a_refusal_nothing_more_is_sent_and_a_busy_collector_is_asked_again(world: World) -> None:
    async with Receiver().listening() as receiver:
        receiver.answers = [503, 200, 404]
        async with asyncio.timeout(60):
            before = counted("collector")
            await metrics_export._repeat(receiver.url, 0.01)
        assert (len(receiver.got), counted("collector") - before) == (3, 1)


async def test_an_unexpected_error_is_logged_and_counted_and_the_next_attempt_follows(world: World) -> None:
    attempts, before = 0, counted("error")

    async def failing(address: str) -> bool:
        nonlocal attempts
        attempts += 1
        if attempts == 1:
            raise ValueError("a metric without a number")
        return False

    with mock.patch.object(metrics_export, "send", failing), mock.patch.object(metrics_export, "log") as log:
        async with asyncio.timeout(60):
            await metrics_export._repeat("http://127.0.0.1:9", 0.01)
    assert (attempts, counted("error") - before) == (2, 1)
    log.exception.assert_called_once_with("metrics are not exported")


def counted(reason: str) -> float:
    return REGISTRY.get_sample_value("crewship_metrics_export_failures_total", {"reason": reason}) or 0.0


async def test_without_a_collector_nothing_is_sent_and_nothing_loaded(world: World) -> None:
    with mock.patch.object(metrics_export, "send") as send:
        async with metrics_export.exporting(world.settings.otel_metrics, 0.001):
            await asyncio.sleep(0.05)
    send.assert_not_called()
    program = (
        "import crewship.process.app, crewship.process.probes, sys;"
        "print([name for name in sys.modules if name.partition('.')[0] == 'opentelemetry'])"
    )
    loaded = subprocess.check_output([sys.executable, "-c", program], text=True, cwd=ROOT)
    assert loaded.strip() == "[]"


@pytest.mark.parametrize(
    ("variables", "metrics", "traces"),
    [
        ({}, None, None),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c"}, "http://c/v1/metrics", "http://c/v1/traces"),
        ({"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://m/x"}, "http://m/x", None),
        (
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c", "OTEL_METRICS_EXPORTER": "none"},
            None,
            "http://c/v1/traces",
        ),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c", "OTEL_TRACES_EXPORTER": "none"}, "http://c/v1/metrics", None),
    ],
)
def test_the_variables_choose_what_is_sent(
    variables: dict[str, str], metrics: str | None, traces: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    settings = load_settings()
    assert (settings.otel_metrics, settings.otel_traces) == (metrics, traces)


@pytest.mark.slow
def test_each_role_of_a_real_process_sends_its_metrics(tmp_path: Path) -> None:
    """To a server of its own that decodes nothing but notes what comes; with the time between two in milliseconds."""
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
    from threading import Thread

    got: list[tuple[str, bytes]] = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append((self.path, self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Collector) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        collector = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{server.server_port}",
            "OTEL_METRIC_EXPORT_INTERVAL": "1000",
        }
        data = migrated(tmp_path / "data")
        for role in ("all", "api"):
            got.clear()
            with serving(env=environment(data, CREWSHIP_ROLE=role, **collector)) as served:
                until(lambda: got)
                assert served.end() == 0
            assert {path for path, _ in got} == {"/v1/metrics"}, json.dumps(served.logged())
            assert "crewshipd_uptime_seconds" in sent(got[-1][1])[1]
        server.shutdown()
