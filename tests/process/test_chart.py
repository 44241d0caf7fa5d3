"""The Helm chart: it renders what Kubernetes takes, gives no pod more than it needs, and refuses what is missing."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from resolvers.instance.settings import Settings, load_settings
from resolvers.staff.runs.work import UNFINISHED
from runtime.containers.pods import VOLUME, closes
from tests.containers.clusters import POLICY, RULES
from tests.process.commands import ROOT
from tests.pypi import installed

pytestmark = pytest.mark.slow
CHART = ROOT / "deploy" / "helm" / "crewship"
HELM = "helm.sh/helm/v3/cmd/helm@v3.22.0"
NEEDED = {
    "image.repository": "registry/crewship",
    "existingSecret.name": "crewship",
    "publicUrl": "https://crewship.test",
}
EVERYTHING = NEEDED | {
    "api.autoscaling.enabled": "true",
    "worker.keda.enabled": "true",
    "worker.commands": "true",
    "sandboxes.enabled": "true",
    "sandboxes.namespace": "crews-sandboxes",
    "sandboxes.claim": "the-same-files",
    "sandboxes.runtimeClass": "gvisor",
    "ingress.enabled": "true",
    "ingress.host": "crewship.test",
    "ingress.tlsSecret": "tls",
    "serviceMonitor.enabled": "true",
    "trustedProxies": "{10.0.0.0/8,::1}",
    "settings.CREWSHIP_ALLOW_SIGNUP": "maybe: \\n#",
    "settingsFromSecrets": "{models}",
    "image.pullSecrets": "{registry}",
}
OF_OPERATORS = ("keda.sh", "monitoring.coreos.com")


@pytest.fixture(scope="session")
def helm(request: pytest.FixtureRequest) -> str:
    if found := shutil.which("helm"):
        return found
    if not (go := shutil.which("go")):
        pytest.skip("needs helm, or Go to build it")
    folder = request.config.cache.mkdir("helm")  # type: ignore[union-attr]
    if not (folder / "helm").exists():
        made = subprocess.run(
            [go, "install", HELM], env=os.environ | {"GOBIN": str(folder)}, capture_output=True, text=True, check=False
        )
        if made.returncode:
            pytest.skip(f"helm cannot be built here: {made.stderr[-300:]}")
    return str(folder / "helm")


def called(helm: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command, *rest = arguments  # a helm that was not built by its own makefile takes the cluster for an ancient one
    return subprocess.run(
        [helm, command, "--kube-version", "1.33.0", *rest], capture_output=True, text=True, check=False
    )


def given(values: dict[str, str]) -> Iterator[str]:
    for name, value in values.items():
        yield from ("--set", f"{name}={value}")


def rendered(helm: str, values: dict[str, str]) -> list[dict[str, Any]]:
    made = called(helm, "template", "ship", str(CHART), "--namespace", "crews", *given(values))
    assert made.returncode == 0, made.stderr
    return [each for each in yaml.safe_load_all(made.stdout) if each]


@pytest.mark.parametrize("values", [NEEDED, EVERYTHING], ids=["least", "everything"])
def test_what_it_renders_is_valid(
    helm: str, values: dict[str, str], request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    assert called(helm, "lint", "--strict", str(CHART), *given(values)).returncode == 0
    packages = installed(request.config, "kubernetes-validate", "kubernetes-validate==1.37.0")
    resources = [
        each for each in rendered(helm, values) if "k8s.io" in each["apiVersion"] or "." not in each["apiVersion"]
    ]
    assert {"Deployment", "Service", "Job", "NetworkPolicy", "PodDisruptionBudget"} <= {
        each["kind"] for each in resources
    }
    (tmp_path / "all.json").write_text(json.dumps(resources))
    check = (
        "import json, sys, kubernetes_validate as k\n"
        "for each in json.load(open(sys.argv[1])):\n"
        "    for version in ('1.29', '1.37'): k.validate(each, version, strict=version == '1.37')\n"
    )
    made = subprocess.run(
        [sys.executable, "-c", check, str(tmp_path / "all.json")],
        env=os.environ | {"PYTHONPATH": str(packages)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 0, made.stderr


@pytest.mark.parametrize("values", [NEEDED, EVERYTHING], ids=["least", "everything"])
def test_no_pod_has_more_rights_than_it_needs(helm: str, values: dict[str, str]) -> None:
    pods = {each["metadata"]["name"]: each for each in rendered(helm, values) if each["kind"] in ("Deployment", "Job")}
    assert pods.keys() == {"ship-crewship-api", "ship-crewship-worker", "ship-crewship-migrate"}
    for name, made in pods.items():
        pod = made["spec"]["template"]["spec"]
        assert pod["automountServiceAccountToken"] is (values is EVERYTHING and name.endswith("worker"))
        assert pod["securityContext"]["runAsNonRoot"] is True
        (container,) = pod["containers"]
        assert container["securityContext"]["allowPrivilegeEscalation"] is False
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert container["resources"]["limits"]["memory"]
        variables = {each["name"]: each for each in container["env"]}
        assert ("CREWSHIP_MIGRATION_DATABASE_URL" in variables) is name.endswith("migrate")
        assert ("ENCRYPTION_KEY" in variables) is not name.endswith("migrate")
        unconfined = pod["securityContext"]["seccompProfile"]["type"] == "Unconfined"
        assert unconfined is (values is EVERYTHING and name.endswith("worker"))
        assert unconfined is (pod.get("hostUsers") is False)
        assert not [
            each for each in made["spec"]["template"]["spec"]["volumes"] if "hostPath" in each or "secret" in each
        ]


def test_only_workers_have_rights_and_only_over_sandboxes(helm: str) -> None:
    made = rendered(helm, EVERYTHING)
    [role] = [each for each in made if each["kind"] == "Role"]
    [binding] = [each for each in made if each["kind"] == "RoleBinding"]
    assert role["rules"] == json.loads(json.dumps(RULES).replace(POLICY, "ship-crewship-sandboxes"))
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": "ship-crewship-worker", "namespace": "crews"}]
    assert binding["roleRef"]["name"] == role["metadata"]["name"]
    assert {each["metadata"]["namespace"] for each in (role, binding)} == {"crews-sandboxes"}, (
        "and none in the release's"
    )
    assert not any(each["kind"].startswith("Cluster") for each in made)
    accounts = {
        each["metadata"]["name"]: each["spec"]["template"]["spec"]["serviceAccountName"]
        for each in made
        if each["kind"] == "Deployment"
    }
    assert accounts == {"ship-crewship-api": "ship-crewship", "ship-crewship-worker": "ship-crewship-worker"}
    assert not any(each["kind"] in ("Role", "RoleBinding") for each in rendered(helm, NEEDED))


def test_the_policy_that_workers_ask_for_closes_the_network_of_their_sandboxes(helm: str) -> None:
    made = rendered(helm, EVERYTHING)
    [worker] = [
        each
        for each in made
        if each["metadata"]["name"] == "ship-crewship-worker" and "template" in each.get("spec", {})
    ]
    [container] = worker["spec"]["template"]["spec"]["containers"]
    told = {each["name"]: each.get("value") for each in container["env"]}
    [policy] = [each for each in made if each["metadata"]["name"] == told["CREWSHIP_KUBERNETES_POLICY"]]
    assert closes(policy, {VOLUME: "any"})
    assert policy["metadata"]["namespace"] == told["CREWSHIP_KUBERNETES_NAMESPACE"] == "crews-sandboxes"
    assert told["CREWSHIP_KUBERNETES_CLAIM"] == "the-same-files"
    assert told["CREWSHIP_KUBERNETES_RUNTIME_CLASS"] == "gvisor"


def test_its_variables_are_settings_of_the_service(helm: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process with the values of a pod starts: each variable is known, and takes what the chart gives it."""
    known = {name for field in Settings.model_fields for name in names_of(field)}
    for made in rendered(helm, EVERYTHING | {"settings.CREWSHIP_ALLOW_SIGNUP": "true"}):
        if made["kind"] != "Deployment":
            continue
        (container,) = made["spec"]["template"]["spec"]["containers"]
        for each in container["env"]:
            assert each["name"] in known
            if "value" in each:
                monkeypatch.setenv(each["name"], each["value"])
        settings = load_settings()
        assert settings.role == made["metadata"]["name"].rpartition("-")[2]
        assert settings.allow_signup is True


def names_of(field: str) -> list[str]:
    alias = Settings.model_fields[field].validation_alias
    return [str(each) for each in getattr(alias, "choices", [alias])]


def test_workers_are_added_by_a_metric_that_there_is(helm: str) -> None:
    (scaled,) = [each for each in rendered(helm, EVERYTHING) if each["kind"] == "ScaledObject"]
    (metric,) = UNFINISHED.collect()
    modifiers = scaled["spec"]["advanced"]["scalingModifiers"]
    assert modifiers == {"formula": "queued + running", "target": "8"}, "the sum, and not the greater of them"
    assert [each["name"] for each in scaled["spec"]["triggers"]] == modifiers["formula"].split(" + ")
    assert [each["metadata"]["valueLocation"] for each in scaled["spec"]["triggers"]] == [
        f'{metric.name}{{state="{state}"}}' for state in ("queued", "running")
    ]


def served_by(made: list[dict[str, Any]], name: str) -> dict[str, Any]:
    """The pod template of a deployment."""
    [one] = [each for each in made if each["kind"] == "Deployment" and each["metadata"]["name"] == name]
    template: dict[str, Any] = one["spec"]["template"]
    return template


def test_budgets_policies_and_services_select_the_pods_of_their_role(helm: str) -> None:
    made = rendered(helm, EVERYTHING)
    pods = {role: served_by(made, f"ship-crewship-{role}")["metadata"]["labels"] for role in ("api", "worker")}
    migration = next(each for each in made if each["kind"] == "Job")["spec"]["template"]["metadata"]["labels"]
    for kind, path in (("PodDisruptionBudget", "matchLabels"), ("Service", "")):
        found = {}
        for each in made:
            if each["kind"] == kind:
                selector = each["spec"]["selector"]
                chosen = (selector[path] if path else selector).items()
                found[each["metadata"]["name"]] = [role for role, labels in pods.items() if chosen <= labels.items()]
                assert not chosen <= migration.items()
        assert sorted(found.values()) == [["api"], ["worker"]], kind
    [policy] = [each for each in made if each["kind"] == "NetworkPolicy" and "namespace" not in each["metadata"]]
    for labels in (*pods.values(), migration):
        assert policy["spec"]["podSelector"]["matchLabels"].items() <= labels.items()
    assert policy["spec"]["ingress"] == [{"ports": [{"port": "http"}]}]
    [monitor] = [each for each in made if each["kind"] == "ServiceMonitor"]
    scraped = [
        each["metadata"]["name"]
        for each in made
        if each["kind"] == "Service"
        and monitor["spec"]["selector"]["matchLabels"].items() <= each["metadata"]["labels"].items()
    ]
    assert sorted(scraped) == ["ship-crewship", "ship-crewship-worker"]
    [scaler] = [each for each in made if each["kind"] == "HorizontalPodAutoscaler"]
    assert scaler["spec"]["scaleTargetRef"]["name"] == "ship-crewship-api"
    api = next(each for each in made if each["kind"] == "Deployment" and each["metadata"]["name"].endswith("api"))
    assert "replicas" not in api["spec"], "the autoscaler alone decides"


def test_the_tables_are_migrated_before_pods_of_a_release_start(helm: str) -> None:
    [job] = [each for each in rendered(helm, NEEDED) if each["kind"] == "Job"]
    assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
    [container] = job["spec"]["template"]["spec"]["containers"]
    assert container["args"] == ["migrate"]


def test_probes_ask_routes_that_there_are(helm: str) -> None:
    made = rendered(helm, NEEDED)
    for role in ("api", "worker"):
        [container] = served_by(made, f"ship-crewship-{role}")["spec"]["containers"]
        probes = {name: container[name]["httpGet"] for name in ("startupProbe", "livenessProbe", "readinessProbe")}
        assert {name: each["path"] for name, each in probes.items()} == {
            "startupProbe": "/healthz",
            "livenessProbe": "/healthz",
            "readinessProbe": "/readyz",
        }
        assert {each["port"] for each in probes.values()} == {"http"}
        assert container["ports"] == [{"name": "http", "containerPort": 8080}]


def test_the_database_of_the_example_has_the_roles_of_the_chart() -> None:
    [cluster] = yaml.safe_load_all((CHART / "examples" / "cloudnativepg.yaml").read_text())
    assert (cluster["apiVersion"], cluster["kind"]) == ("postgresql.cnpg.io/v1", "Cluster")
    [role] = cluster["spec"]["managed"]["roles"]
    assert role["name"] != cluster["spec"]["bootstrap"]["initdb"]["owner"], "the service does not own its tables"
    assert (role["login"], role.get("superuser", False), role.get("bypassrls", False)) == (True, False, False)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({}, "Set "),
        ({"existingSecret.name": ""}, "Set existingSecret.name: a secret with the keys"),
        ({"image.repository": ""}, "Set image.repository"),
        ({"publicUrl": ""}, "Set publicUrl"),
        ({"publicUrl": "https://crewship.test/path"}, "/publicUrl"),
        ({"worker.replica": "3"}, "replica"),
        ({"worker.concurrentRuns": "0"}, "/worker/concurrentRuns"),
        ({"settings.lower": "x"}, "lower"),
        ({"ingress.enabled": "true"}, "Set ingress.host"),
        (
            {"sandboxes.enabled": "true", "sandboxes.claim": "a"},
            "Set sandboxes.namespace: a namespace for sandboxes alone",
        ),
        (
            {"sandboxes.enabled": "true", "sandboxes.namespace": "a"},
            "Set sandboxes.claim: a claim in sandboxes.namespace",
        ),
        (
            {"sandboxes.enabled": "true", "sandboxes.claim": "a", "sandboxes.namespace": "default"},
            "Set sandboxes.namespace to another namespace than the release's",
        ),
        ({"sandboxes.namespace": "a.b"}, "/sandboxes/namespace"),
    ],
)
def test_what_is_missing_is_refused_with_a_sentence(helm: str, values: dict[str, str], sentence: str) -> None:
    made = called(helm, "template", "ship", str(CHART), *given((NEEDED | values) if values else {}))
    assert made.returncode != 0
    assert sentence in made.stderr
