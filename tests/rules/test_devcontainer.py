"""devcontainer_config: what is accepted, what is stored, what it brings."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resolvers.rules.devcontainer import (
    COMMON_UTILS,
    MAX_BYTES,
    Devcontainer,
    normalise_on_create,
    parse_devcontainer,
    tool_names,
)
from tests.every import each_of
from tests.rules.refusals import refused
from tests.rules.texts import anything, json_values, value_or_refusal

NODE = "ghcr.io/devcontainers/features/node:1"
DIGEST = "sha256:" + "0123456789abcdef" * 4
INJECTED = {
    "username": "agent",
    "uid": "1001",
    "gid": "1001",
    "installZsh": "false",
    "upgradePackages": "false",
    "configureZshAsDefaultShell": "false",
}


def text_of(**keys: Any) -> str:
    return orjson.dumps({"image": "debian:12", **keys}).decode()


def test_every_supported_key() -> None:
    config = parse_devcontainer(
        text_of(
            features={NODE: {"version": "22"}},
            postCreateCommand="make",
            postStartCommand=["a", "b"],
            containerEnv={"A": "b"},
            remoteUser="agent",
            customizations={"vscode": {}},
        )
    )
    assert config.image == "debian:12"
    assert config.features == {NODE: {"version": "22"}}
    assert config.post_create_command == "make"
    assert config.post_start_command == ["a", "b"]
    assert config.container_env == {"A": "b"}
    assert config.remote_user == "agent"
    assert "customizations" not in config.to_json()


@each_of("command", ["", "make", [], ["a", "b"], {}, {"one": "a", "two": "b"}, None])
@each_of("key", ["postCreateCommand", "postStartCommand"])
def test_forms_of_a_command(key: str, command: object) -> None:
    parse_devcontainer(text_of(**{key: command}))


@each_of("command", [1, 0, False, True, [1], ["a", None], [["a"]], {"a": 1}, {"a": ["b"]}])
@each_of("key", ["postCreateCommand", "postStartCommand"])
def test_other_forms_of_a_command(key: str, command: object) -> None:
    with refused("devcontainer_config", key, "a string, a list of strings or an object of strings"):
        parse_devcontainer(text_of(**{key: command}))


@each_of("key", ["features", "postCreateCommand", "postStartCommand", "containerEnv", "remoteUser"])
def test_null_equals_absent(key: str) -> None:
    assert parse_devcontainer(text_of(**{key: None})) == parse_devcontainer(text_of())


@each_of(
    "ref",
    [
        NODE,
        "ghcr.io/a/b:1.2.3-rc.1",
        f"ghcr.io/a/b@{DIGEST}",
        "localhost:5000/a:latest",
        "GHCR.io/Devcontainers/Features/Common-Utils:2",
        "registry.example.com/a_b/c.d/e-f:_1",
    ],
)
def test_feature_refs(ref: str) -> None:
    assert parse_devcontainer(text_of(features={ref: {}})).features == {ref: {}}


@each_of(
    "ref",
    [
        "",
        "node",
        "node:1",
        "ghcr.io/a/b",
        "ghcr.io/a/b:",
        "ghcr.io/a/b:1\n",
        "ghcr.io//b:1",
        "/a/b:1",
        "./local:1",
        "../a/b:1",
        "https://ghcr.io/a/b:1",
        "ghcr.io/a/b:1@" + DIGEST,
        "ghcr.io/a/b@sha256:" + "A" * 64,
        "ghcr.io/a/b@sha256:" + "0" * 63,
        "ghcr.io/a/b@md5:" + "0" * 32,
        "ghcr.io/a b/c:1",
        "ghcr.io/a/b:" + "1" * 129,
        "ghcr.io/a/b:1;rm",
    ],
)
def test_other_feature_refs(ref: str) -> None:
    with refused("devcontainer_config", "must be a reference"):
        parse_devcontainer(text_of(features={ref: {}}))


@each_of("options", [{}, {"version": "1", "n": 1, "deep": {"list": [True]}}, "22", True, None])
def test_options_of_a_feature_pass_as_they_are(options: object) -> None:
    assert parse_devcontainer(text_of(features={NODE: options})).features == {NODE: options}


@pytest.mark.parametrize(("user", "kept"), [("agent", "agent"), ("1001", "1001"), ("", None)])
def test_remote_user(user: str, kept: str | None) -> None:
    assert parse_devcontainer(text_of(remoteUser=user)).remote_user == kept


@each_of(
    ("text", "word"),
    [
        ("{}", "image"),
        ('{"image": null}', "image"),
        ('{"image": ""}', "image"),
        ('{"image": 1}', "image"),
        ('{"image": "a b"}', "image"),
        ('{"image": "a\\n"}', "image"),
        ('{"image": "a\\u2003b"}', "image"),
        ("[]", "JSON object"),
        ("null", "JSON object"),
        ('{"image": "a"} // comment', "JSON"),
        ('{"image": "a",}', "JSON"),
        (text_of(remoteUser="root"), "remoteUser"),
        (text_of(remoteUser=1001), "remoteUser"),
        (text_of(containerEnv={"A": 1}), "containerEnv.A"),
        (text_of(containerEnv=[]), "containerEnv"),
        (text_of(features=[]), "features"),
        (text_of(features="x"), "features"),
    ],
)
def test_refused(text: str, word: str) -> None:
    with refused("devcontainer_config", word):
        parse_devcontainer(text)


def test_size_in_bytes() -> None:
    empty = len(text_of(containerEnv={"A": ""}))
    fits = text_of(containerEnv={"A": "é" * ((MAX_BYTES - empty) // 2)})
    assert MAX_BYTES - 2 < len(fits.encode()) <= MAX_BYTES
    parse_devcontainer(fits)
    with refused("devcontainer_config", "at most 102400 bytes"):
        parse_devcontainer(fits.replace("é", "éé", 1))


@each_of(
    ("keys", "needed"),
    [
        ({}, False),
        ({"features": {}}, False),
        ({"features": {NODE: {}}}, True),
        ({"postCreateCommand": "make"}, True),
        ({"postCreateCommand": ""}, False),
        ({"postCreateCommand": []}, False),
        ({"postStartCommand": "make"}, False),
        ({"containerEnv": {"A": "b"}}, False),
    ],
)
def test_when_an_image_is_needed(keys: dict[str, Any], needed: bool) -> None:
    assert parse_devcontainer(text_of(**keys)).needs_image is needed


def test_common_utils_is_added_first_on_create() -> None:
    text, config = normalise_on_create(text_of(features={NODE: {"version": "22"}}, remoteUser="agent", name="mine"))
    stored = orjson.loads(text)
    assert stored == {
        "image": "debian:12",
        "features": {f"{COMMON_UTILS}:2": INJECTED, NODE: {"version": "22"}},
        "remoteUser": "agent",
    }
    assert list(stored["features"]) == [f"{COMMON_UTILS}:2", NODE]
    assert config == parse_devcontainer(text)
    assert config.needs_image


def test_what_is_added_to_one_crew_is_not_shared_with_the_next() -> None:
    _, first = normalise_on_create(text_of())
    assert first.features is not None
    first.features[f"{COMMON_UTILS}:2"]["username"] = "root"
    assert orjson.loads(normalise_on_create(text_of())[0])["features"] == {f"{COMMON_UTILS}:2": INJECTED}


@pytest.mark.parametrize(
    "ref", [f"{COMMON_UTILS}:2", f"{COMMON_UTILS}:2.5.1", f"{COMMON_UTILS}@{DIGEST}", COMMON_UTILS.upper() + ":1"]
)
def test_a_declared_common_utils_keeps_the_text(ref: str) -> None:
    text = '{ "image":"debian:12", "name":"mine", "features":{"REF":{}} }'.replace("REF", ref)
    assert normalise_on_create(text) == (text, parse_devcontainer(text))


@pytest.mark.parametrize(
    "ref",
    [
        f"{COMMON_UTILS}-extra:1",
        "ghcr.io/devcontainers/features/common-utils/x:1",
        "example.com/features/common-utils:2",
    ],
)
def test_a_likeness_is_not_common_utils(ref: str) -> None:
    assert f"{COMMON_UTILS}:2" in orjson.loads(normalise_on_create(text_of(features={ref: {}}))[0])["features"]


documents = st.fixed_dictionaries(
    {},
    optional={
        "image": st.sampled_from(["debian:12", "", "a b"]) | json_values,
        "features": st.dictionaries(
            st.sampled_from([NODE, f"{COMMON_UTILS}:1", f"ghcr.io/a/b@{DIGEST}", "bad"]), json_values, max_size=3
        )
        | json_values,
        "postCreateCommand": json_values,
        "postStartCommand": json_values,
        "containerEnv": st.dictionaries(st.text(max_size=3), st.text(max_size=3), max_size=3) | json_values,
        "remoteUser": st.sampled_from(["agent", "1001", "root", None]) | json_values,
        "other": json_values,
    },
)


@pytest.mark.slow
@given(anything | documents.map(lambda d: orjson.dumps(d).decode()))
def test_total_and_storing_keeps_the_meaning(text: str) -> None:
    made: tuple[str, Devcontainer] | None = value_or_refusal(normalise_on_create, text)
    assert (made is None) == (value_or_refusal(parse_devcontainer, text) is None)
    if made is not None:
        stored, config = made
        assert parse_devcontainer(stored) == config
        assert normalise_on_create(stored) == (stored, config)
        assert all(isinstance(tool, str) for tool in tool_names(config))


def test_tool_names() -> None:
    features = [
        "common-utils:2",
        "github-cli:1",
        "aws-cli:1",
        "azure-cli:1",
        "google-cloud-cli:1",
        "gcloud-cli:1",
        "kubectl-helm-minikube:1",
        "docker-in-docker:2",
        f"docker-outside-of-docker@{DIGEST}",
        "nodejs:1",
        "golang:1",
        "terraform:1",
    ]
    refs: dict[str, dict[str, Any]] = {f"localhost:5000/x/{f}": {} for f in features}
    assert tool_names(parse_devcontainer(text_of(features=refs))) == {
        "git",
        "gh",
        "aws",
        "az",
        "gcloud",
        "kubectl",
        "docker",
        "node",
        "go",
        "terraform",
    }
    assert tool_names(parse_devcontainer(text_of())) == set()
