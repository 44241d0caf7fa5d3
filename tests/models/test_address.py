"""Addresses of databases: every reader of one reads the same, as libpq reads it."""

from typing import Any

import pytest
import sqlalchemy
from asyncpg.connect_utils import _parse_connect_dsn_and_args
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg

from models.address import Address, AddressError
from resolvers.instance.settings import SettingsError, load_settings
from tests.every import each_of

ADDRESSES = {
    "postgresql://u:p@h/d": "h:5432/d",
    "postgres://u:p@h:1/d": "h:1/d",
    "postgresql://u:p@a:1,b:2/d?target_session_attrs=read-write": "a:1,b:2/d",
    "postgresql://u:p@a,b/d": "a:5432,b:5432/d",
    "postgresql://u:p@a,b:7/d": "a:5432,b:7/d",
    "postgresql://u@/d?host=a,b&port=1,2&target_session_attrs=primary": "a:1,b:2/d",
    "postgresql://u@/d?host=a,b&port=7": "a:7,b:7/d",
    "postgresql://u:p%40%3A%2F%3F%23%25+%20%C3%A4@h/d": "h:5432/d",
    "postgresql://u:p+w!$&'()*;=,~[]#?@h/d": "h:5432/d",
    "postgresql://u%40corp:p:w@h/d%2Fe": "h:5432/d/e",
    "postgresql://u:p@[::1]/d": "[::1]:5432/d",
    "postgresql://u:p@[2001:db8::7]:6/d?sslmode=verify-full&sslrootcert=%2Fa%20b.pem": "[2001:db8::7]:6/d",
    "postgresql://u:p@[::1]:1,[::2]:2,c:3/d": "[::1]:1,[::2]:2,c:3/d",
    "postgresql://u:p@/d?host=%2Frun%2Fpostgresql": "localhost/d",
    "postgresql://u:p@%2Frun%2Fpostgresql:6/d": "localhost/d",
    "postgresql://u:p@/d?host=/tmp/a%20b&port=6": "localhost/d",
    "postgresql://u:p@/d?host=::1&port=6": "[::1]:6/d",
    "postgresql://u:p@h/d?user=v&password=w&dbname=e": "h:5432/e",
    "postgresql://u:p@h/d?application_name=mine&options=-c%20geqo%3Doff&connect_timeout=7": "h:5432/d",
    "postgresql://u:p@h/d?channel_binding=prefer&gssencmode=disable&sslsni=0": "h:5432/d",
    "postgresql://u:p@h/d?ssl=true": "h:5432/d",
}
LOGIN = ("user", "password", "dbname", "host", "port")


def known_to_libpq(text: str) -> dict[str, str]:
    found = {name: str(value) for name, value in conninfo_to_dict(text).items() if value is not None}
    named = len(found["host"].split(","))
    ports = found.get("port", "").split(",")
    found["port"] = ",".join([port or "5432" for port in (ports * named if len(ports) == 1 else ports)])
    return found


def sent_by_sqlalchemy(text: str) -> dict[str, str]:
    _, given = PGDialect_psycopg().create_connect_args(sqlalchemy.make_url(text))  # type: ignore[no-untyped-call]
    return {name: str(value) for name, value in given.items() if name != "context"}


def sent_by_asyncpg(text: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr("ssl.SSLContext.load_verify_locations", lambda *_, **__: None)
    return _parse_connect_dsn_and_args(
        dsn=text, host=None, port=None, user=None, password=None, passfile=None, database=None, ssl=None,
        service=None, servicefile=None, direct_tls=None, server_settings=None, target_session_attrs=None,
        krbsrvname=None, gsslib=None,
    )  # fmt: skip


@pytest.mark.parametrize("text", ADDRESSES)
def test_all_readers_read_what_libpq_reads(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    address, meant = Address.read(text), known_to_libpq(text)
    assert address.place == ADDRESSES[text]
    assert known_to_libpq(address.libpq) == meant
    assert sent_by_sqlalchemy(address.libpq) == meant
    places, asked = sent_by_asyncpg(address.asyncpg, monkeypatch)
    hosts, ports = meant["host"].split(","), meant["port"].split(",")
    assert places == [
        f"{host}/.s.PGSQL.{port}" if host.startswith("/") else (host, int(port))
        for host, port in zip(hosts, ports, strict=True)
    ]
    assert (asked.user, asked.database) == (meant["user"], meant["dbname"])
    if "password" in meant:
        assert asked.password == meant["password"]
    assert asked.target_session_attrs.value == meant.get("target_session_attrs", "any")
    settings = asked.server_settings or {}
    assert settings == {name: meant[name] for name in ("application_name", "options") if name in meant}
    if meant.get("sslmode"):
        assert asked.sslmode.name == meant["sslmode"].replace("-", "_")


@each_of("text", ADDRESSES)
def test_what_is_said_is_read_again(text: str) -> None:
    address = Address.read(text)
    again = Address.read(address.asyncpg)
    assert (again.hosts, again.user, again.password, again.database) == (
        *(address.hosts, address.user, address.password, address.database),
    )
    assert Address.read(address.libpq) == Address.read(Address.read(address.libpq).libpq)


def test_a_setting_of_the_server_reaches_it_by_both_ways(monkeypatch: pytest.MonkeyPatch) -> None:
    address = Address.read("postgresql://u:p@h/d?search_path=a,%20b&options=-c%20geqo%3Doff")
    assert sent_by_asyncpg(address.asyncpg, monkeypatch)[1].server_settings["search_path"] == "a, b"
    assert known_to_libpq(address.libpq)["options"] == r"-c geqo=off -c search_path=a,\ b"


def test_no_host_is_this_machine_for_both(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PGHOST", raising=False)
    address = Address.read("postgresql://u:p@/d")
    assert address.place == "localhost/d"
    hosts = known_to_libpq(address.libpq)["host"].split(",")
    looked = sent_by_asyncpg(address.asyncpg, monkeypatch)[0]
    assert [place.rpartition("/")[0] if isinstance(place, str) else place[0] for place in looked if place] == [
        *hosts[:3],
        "/private/tmp",
        hosts[3],
    ]
    monkeypatch.setenv("PGHOST", "elsewhere")
    assert "host" not in conninfo_to_dict(address.libpq)


@pytest.mark.parametrize(
    "text",
    [
        "mysql://u:hunter2@h/d",
        "postgresql://u:hunter2%@h/d",
        "postgresql://u:hunter2%00@h/d",
        "postgresql://u:hunter2@h:0/d",
        "postgresql://u:hunter2@h:70000/d",
        "postgresql://u:hunter2@h:x/d",
        "postgresql://u:hunter2@[::1/d",
        "postgresql://u:hunter2@/d?host=a,b,c&port=1,2",
        "postgresql://u:hunter2@h/d?sslmode",
        "postgresql://u:hunter2@h/d?hostaddr=127.0.0.1",
        "postgresql://u:hunter2@h/d?channel_binding=require",
    ],
)
def test_what_is_no_address_is_refused_without_its_password(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(AddressError) as refused:
        Address.read(text)
    assert "hunter2" not in str(refused.value)
    monkeypatch.setenv("DATABASE_URL", text)
    with pytest.raises(SettingsError) as unset:
        load_settings()
    assert "hunter2" not in str(unset.value)


def test_a_password_is_in_no_representation() -> None:
    assert "hunter2" not in repr(Address.read("postgresql://u:hunter2@h/d"))
    url = sqlalchemy.make_url(Address.read("postgresql://u:hunter2@a,b/d").libpq)
    assert "hunter2" not in url.render_as_string(hide_password=True)
