"""The alerts and the dashboard that come with the service: they read metrics that it has, and fire when they should."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

import crewship.process.app  # noqa: F401  the metrics of a process that serves
import schema.live  # noqa: F401  the metrics of sockets
from models.migrations.cluster import NOTE
from resolvers.instance.bundles.records import ARCHIVE, MADE, REHEARSED
from resolvers.instance.running import instance
from runtime.engine import background, liveness  # noqa: F401  the metrics of one that carries out jobs
from tests.process.commands import ROOT
from tests.world import World

RULES = ROOT / "deploy" / "prometheus" / "alerts.yaml"
CASES = ROOT / "tests" / "process" / "alerts.yaml"
DASHBOARD = ROOT / "deploy" / "grafana" / "crewship.json"
METRIC = re.compile(r"\b(?:crewshipd?|process)_[a-z_]+")
LABELS = re.compile(r"((?:crewshipd?|process)_[a-z_]+)\{([^}]*)\}")
OF_THE_SCRAPE = {"job", "instance", "le"}


def rules() -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def expressions() -> list[str]:
    panels = json.loads(DASHBOARD.read_text())["panels"]
    shown = [target["expr"] for panel in panels for target in panel.get("targets", ())]
    return shown + [rule["expr"] for rule in rules()]


def names(exposition: str) -> set[str]:
    """Names of all samples that can come."""
    made: set[str] = set()
    for family in text_string_to_metric_families(exposition):
        ends = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}.get(family.type, ("",))
        made |= {family.name + end for end in ends}
    return made


@pytest.mark.anyio
async def test_each_metric_that_is_read_exists(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = {name for expression in expressions() for name in METRIC.findall(expression)}
    assert len(read) > 15
    at = {"created_at": "2026-12-01T00:00:00Z", "seconds": 1.0}
    facts: dict[str, dict[str, Any]] = {MADE: at | {"size_bytes": 1, "damaged": 0}, REHEARSED: at | {"ok": True}}
    monkeypatch.setattr(instance, "_settings", instance.settings.model_copy(update={"wal_archive": tmp_path}))
    for name, fact in (facts | {ARCHIVE: {"base": None, "failing": None}}).items():
        await world.database.execute(NOTE, name, json.dumps(fact))
    exposed = names((await world.rest(None, "GET", "/metrics", workspace=None)).text)
    assert read <= exposed, read - exposed


def test_labels_are_those_of_the_metrics() -> None:
    known = {"operation", "code", "state", "status"} | OF_THE_SCRAPE
    for expression in expressions():
        for name, matchers in LABELS.findall(expression):
            assert set(re.findall(r"(\w+)[!=]", matchers)) <= known, name


def test_each_alert_has_a_case_that_fires_and_words_for_an_operator() -> None:
    cases = [case for test in yaml.safe_load(CASES.read_text())["tests"] for case in test["alert_rule_test"]]
    page = (ROOT / "docs" / "observability.md").read_text()
    for alert in (rule for rule in rules() if "alert" in rule):
        assert any(case["alertname"] == alert["alert"] and case.get("exp_alerts") for case in cases), alert["alert"]
        assert {"summary", "action"} == set(alert["annotations"])
        assert alert["alert"] in page


@pytest.mark.slow
def test_prometheus_takes_the_rules_and_fires_each_when_it_should(tmp_path: Path) -> None:
    if (promtool := shutil.which("promtool")) is None:
        pytest.skip("needs promtool of Prometheus")
    shutil.copy(RULES, tmp_path / "alerts.yaml")
    shutil.copy(CASES, tmp_path / "cases.yaml")
    for command in (["check", "rules", "alerts.yaml"], ["test", "rules", "cases.yaml"]):
        made = subprocess.run([promtool, *command], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert made.returncode == 0, made.stdout + made.stderr
