"""services_json and the datastores in it."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resolvers.errors import Refusal
from resolvers.rules.services import MAX_BYTES, Service, ServiceHealthcheck, ServiceVolume, datastores, parse_services
from tests.every import each_of
from tests.rules.refusals import refused
from tests.rules.texts import anything, json_values, value_or_refusal


def text_of(*services: Any) -> str:
    return orjson.dumps(services).decode()


def service(**keys: Any) -> dict[str, Any]:
    return {"name": "db", "image": "postgres:18", **keys}


FULL = service(
    command=["postgres", "-c", "x=1"],
    env={"POSTGRES_DB": "app"},
    env_refs=["DB_PASSWORD"],
    ports=["5432/tcp"],
    volumes=[{"name": "data", "mount": "/var/lib/postgresql"}, {"name": "data", "mount": "/backup"}],
    healthcheck={
        "test": ["CMD", "pg_isready"],
        "interval": "5s",
        "timeout": "1m30s",
        "retries": 5,
        "start_period": "1.5h",
    },
)


def test_every_key() -> None:
    assert parse_services(text_of({**FULL, "restart": "always"})) == [
        Service(
            name="db",
            image="postgres:18",
            command=["postgres", "-c", "x=1"],
            env={"POSTGRES_DB": "app"},
            env_refs=["DB_PASSWORD"],
            ports=["5432/tcp"],
            volumes=[
                ServiceVolume(name="data", mount="/var/lib/postgresql"),
                ServiceVolume(name="data", mount="/backup"),
            ],
            healthcheck=ServiceHealthcheck(
                test=["CMD", "pg_isready"], interval="5s", timeout="1m30s", retries=5, start_period="1.5h"
            ),
        )
    ]


def test_none() -> None:
    assert parse_services("[]") == []


@each_of("key", ["command", "env", "env_refs", "ports", "volumes", "healthcheck"])
def test_null_equals_absent(key: str) -> None:
    assert parse_services(text_of(service(**{key: None}))) == parse_services(text_of(service()))


@each_of("name", ["a", "a1", "my-db", "a" * 63, "a--b"])
def test_names(name: str) -> None:
    assert parse_services(text_of(service(name=name)))[0].name == name


@each_of("name", ["", "1a", "-a", "a-", "A", "a_b", "a.b", "a" * 64, "a\n", "é", None, 1])
def test_other_names(name: object) -> None:
    with refused("services_json", "[0].name"):
        parse_services(text_of(service(name=name)))


@each_of("value", ["", "5s", "1m30s", "300ms", "0", "0s"])
@each_of("key", ["interval", "timeout", "start_period"])
def test_durations(key: str, value: str) -> None:
    parse_services(text_of(service(healthcheck={"test": ["CMD"], key: value})))


@each_of("value", ["5", "s", "5 s", "1d", "-5s", 5, "9" * 30 + "h"])
@each_of("key", ["interval", "timeout", "start_period"])
def test_other_durations(key: str, value: object) -> None:
    with refused("services_json", f"[0].healthcheck.{key}"):
        parse_services(text_of(service(healthcheck={"test": ["CMD"], key: value})))


@each_of(
    ("text", "word"),
    [
        ("{}", "JSON array"),
        ("null", "JSON array"),
        ("", "not valid JSON"),
        ("[null]", "[0]"),
        ('["db"]', "[0]"),
        (text_of({"image": "a"}), "[0].name"),
        (text_of({"name": "db"}), "[0].image"),
        (text_of(service(image="")), "[0].image"),
        (text_of(service(image=7)), "[0].image"),
        (text_of(service(), service(image="redis")), "db is used twice"),
        (text_of(service(command="run")), "[0].command"),
        (text_of(service(env={"A": 1})), "[0].env.A"),
        (text_of(service(env_refs=[1])), "[0].env_refs[0]"),
        (text_of(service(ports=[5432])), "[0].ports[0]"),
        (text_of(service(volumes=[{"mount": "/a"}])), "[0].volumes[0].name"),
        (text_of(service(volumes=[{"name": "", "mount": "/a"}])), "[0].volumes[0].name"),
        (text_of(service(volumes=[{"name": "/etc", "mount": "/a"}])), "not a path of the host"),
        (text_of(service(volumes=[{"name": "./x", "mount": "/a"}])), "not a path of the host"),
        (text_of(service(volumes=[{"name": "..", "mount": "/a"}])), "not a path of the host"),
        (text_of(service(volumes=[{"name": "a"}])), "[0].volumes[0].mount"),
        (text_of(service(volumes=[{"name": "a", "mount": ""}])), "[0].volumes[0].mount"),
        (text_of(service(volumes=[{"name": "a", "mount": "/a"}, {"name": "b", "mount": "/a"}])), "each mount"),
        (text_of(service(healthcheck={})), "[0].healthcheck.test"),
        (text_of(service(healthcheck={"test": []})), "[0].healthcheck.test"),
        (text_of(service(healthcheck={"test": "CMD"})), "[0].healthcheck.test"),
        (text_of(service(healthcheck={"test": ["CMD"], "retries": "3"})), "[0].healthcheck.retries"),
        (text_of(service(healthcheck={"test": ["CMD"], "retries": 1.5})), "[0].healthcheck.retries"),
        (text_of(service(), {"name": "x"}), "[1].image"),
    ],
)
def test_refused(text: str, word: str) -> None:
    with refused("services_json", word):
        parse_services(text)


def test_two_services_may_use_the_same_mount() -> None:
    volumes = [{"name": "a", "mount": "/a"}]
    assert len(parse_services(text_of(service(volumes=volumes), service(name="two", volumes=volumes)))) == 2


def test_values_of_variables_stay_out_of_refusals() -> None:
    with pytest.raises(Refusal) as caught:
        parse_services(text_of(service(env={"PASSWORD": ["hunter2"]})))
    assert "[0].env.PASSWORD" in caught.value.detail
    assert "hunter2" not in caught.value.detail


def test_size_in_bytes() -> None:
    fits = "[" + " " * (MAX_BYTES - 2) + "]"
    assert parse_services(fits) == []
    with refused("services_json", "at most 65536 bytes"):
        parse_services(fits + " ")


keys = {"name": st.sampled_from(["db", "cache", "-"]), "image": st.sampled_from(["redis", ""])}
documents = st.lists(
    st.fixed_dictionaries(
        keys,
        optional={
            "command": json_values,
            "env": json_values,
            "ports": st.lists(st.text(max_size=4), max_size=2) | json_values,
            "volumes": st.lists(
                st.fixed_dictionaries({"name": st.text(max_size=2), "mount": st.text(max_size=2)}), max_size=3
            )
            | json_values,
            "healthcheck": st.fixed_dictionaries(
                {"test": st.lists(st.text(max_size=2), max_size=2)},
                optional={"interval": st.text("0123456789smh.", max_size=6)},
            )
            | json_values,
        },
    ),
    max_size=3,
)


@given(
    anything | documents.map(lambda d: orjson.dumps(d).decode()) | json_values.map(lambda v: orjson.dumps(v).decode())
)
def test_total(text: str) -> None:
    services: list[Service] | None = value_or_refusal(parse_services, text)
    if services is not None:
        assert len({s.name for s in services}) == len(services)
        assert len(datastores(services)) == len(services)


@each_of(
    ("image", "kind"),
    [
        ("postgres:18", "postgres"),
        ("ghcr.io/org/PostgreSQL:1", "postgres"),
        ("redis/redis-stack", "redis"),
        ("mysql:8", "mysql"),
        ("mariadb:11", "mysql"),
        ("mongo:7", "mongodb"),
        ("nginx", "other"),
    ],
)
def test_type_of_a_datastore(image: str, kind: str) -> None:
    assert datastores([Service(name="db", image=image)]) == [{"type": kind, "name": "db", "host": "db", "port": ""}]


@each_of(
    ("ports", "port"),
    [(None, ""), ([], ""), (["5432"], "5432"), (["5432/tcp", "9999"], "5432"), (["53/udp"], "53/udp")],
)
def test_port_of_a_datastore(ports: list[str] | None, port: str) -> None:
    assert datastores([Service(name="db", image="postgres", ports=ports)])[0]["port"] == port
