"""The address of a PostgreSQL database: parsed once, as libpq parses a URI, and written in the form that each driver
needs.

asyncpg accepts hosts in brackets, passes unknown parameters to the server, and fails on parameters that only libpq
knows; libpq accepts no brackets and refuses settings of the server; SQLAlchemy reads several hosts only in the query.
"""

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from urllib.parse import quote

SCHEMES = ("postgresql://", "postgres://")
PORT = 5432
NOWHERE = ("/run/postgresql", "/var/run/postgresql", "/tmp", "localhost")  # noqa: S108 - where asyncpg looks
LOGIN = ("user", "password", "dbname", "host", "port")
BOTH = frozenset(
    {"passfile", "service", "sslmode", "sslcert", "sslkey", "sslrootcert", "sslcrl", "sslpassword", "sslnegotiation"}
    | {"ssl_min_protocol_version", "ssl_max_protocol_version", "target_session_attrs", "krbsrvname", "gsslib"}
    | {"application_name", "options"}
)
LIBPQ_ALONE = frozenset(
    {"connect_timeout", "keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count", "tcp_user_timeout"}
    | {"gssencmode", "gssdelegation", "sslcompression", "sslsni", "sslcertmode", "load_balance_hosts"}
    | {"fallback_application_name", "client_encoding", "channel_binding"}
)
"""Left out for asyncpg: they are of the connection, or ask for what it does anyway."""
REFUSED = frozenset({"hostaddr", "require_auth", "requirepeer", "replication", "sslcrldir", "servicefile"})
"""Parameters that asyncpg does not support and would ignore."""


class AddressError(ValueError):
    """The text is not an address; the message contains no secret."""


@dataclass(frozen=True)
class Address:
    hosts: tuple[tuple[str, int], ...] = ()  # none: where PGHOST says, or on this machine
    user: str = ""
    password: str = field(default="", repr=False)
    database: str = ""
    parameters: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    @classmethod
    def read(cls, text: str) -> "Address":
        """Raises AddressError."""
        scheme = next((scheme for scheme in SCHEMES if text.startswith(scheme)), None)
        if scheme is None:
            raise AddressError("an address begins with postgresql://")
        values = _keywords(text.removeprefix(scheme))
        for name in sorted(values.keys() & REFUSED):
            raise AddressError(f"{name} is not supported; leave it out")
        if values.get("channel_binding") == "require":
            raise AddressError("channel_binding=require is not supported; take sslmode=verify-full instead")
        user, password, database, host, port = [values.pop(name, "") for name in LOGIN]
        return cls(_hosts(host, port), user, password, database, MappingProxyType(values))

    @property
    def place(self) -> str:
        """Without user and password, for messages."""
        named = ",".join(
            ["localhost" if host.startswith("/") else f"{_bracketed(host)}:{port}" for host, port in self.hosts]
        )
        return f"{named or 'localhost'}/{self.database}"

    @property
    def asyncpg(self) -> str:
        known = {name: value for name, value in self.parameters.items() if name not in LIBPQ_ALONE}
        return self._url([(_bracketed(host), port) for host, port in self.hosts], known)

    @property
    def libpq(self) -> str:
        """Also for SQLAlchemy, which hands it on."""
        known = {name: value for name, value in self.parameters.items() if name in BOTH | LIBPQ_ALONE}
        settings = [f"-c {name}={_escaped(value)}" for name, value in self.parameters.items() if name not in known]
        if settings:
            known["options"] = " ".join([known["options"], *settings] if "options" in known else settings)
        hosts = list(self.hosts)
        if not hosts and not {"PGHOST", "PGHOSTADDR", "PGSERVICE"} & os.environ.keys() and "service" not in known:
            hosts = [(host, int(os.environ.get("PGPORT") or PORT)) for host in NOWHERE]
        return self._url(hosts, known)

    def _url(self, hosts: list[tuple[str, int]], parameters: Mapping[str, str]) -> str:
        login = _quoted(self.user) + (f":{_quoted(self.password)}" if self.password else "")
        where = (
            {"host": ",".join([host for host, _ in hosts]), "port": ",".join([str(port) for _, port in hosts])}
            if hosts
            else {}
        )
        query = "&".join([f"{name}={_quoted(value)}" for name, value in (where | dict(parameters)).items()])
        return f"postgresql://{login}{'@' if login else ''}/{_quoted(self.database)}{f'?{query}' if query else ''}"


def _keywords(rest: str) -> dict[str, str]:
    """The parameters of a URI by libpq's names; the query wins over the rest."""
    values: dict[str, str] = {}
    if (login := re.match(r"[^@/]*@", rest)) is not None:
        user, _, password = login.group()[:-1].partition(":")
        values |= {"user": _plain(user), "password": _plain(password)}
        rest = rest[login.end() :]
    found = re.match(r"((?:\[[^\]]*\]|[^/?\[])*)(?:/([^?]*))?(?:\?(.*))?$", rest, re.DOTALL)
    if found is None:
        raise AddressError("its hosts cannot be read")
    hosts, database, query = found.groups()
    if hosts:
        named = [_host_and_port(each) for each in hosts.split(",")]
        values |= {"host": ",".join([_plain(host) for host, _ in named])}
        if any(port for _, port in named):
            values["port"] = ",".join([_plain(port) for _, port in named])
    if database:
        values["dbname"] = _plain(database)
    for name, value in _queried(query or ""):
        values[name] = value
    return values


def _queried(query: str) -> Iterator[tuple[str, str]]:
    for part in query.split("&") if query else []:
        name, equals, value = part.partition("=")
        if not name or not equals or "=" in value:
            raise AddressError("its query is not made of name=value")
        named, given = _plain(name), _plain(value)
        if named == "ssl" and given in ("true", "1"):
            yield "sslmode", "require"
        else:
            yield "dbname" if named == "database" else named, given


def _hosts(host: str, port: str) -> tuple[tuple[str, int], ...]:
    if not host:
        return (("localhost", _number(port)),) if port else ()
    named = [_host_and_port(each) for each in host.split(",")]
    ports = port.split(",") if port else [own for _, own in named]
    if len(ports) == 1:
        ports *= len(named)
    if len(ports) != len(named):
        raise AddressError(f"it names {len(named)} hosts and {len(ports)} ports")
    return tuple([(name or "localhost", _number(each)) for (name, _), each in zip(named, ports, strict=True)])


def _host_and_port(text: str) -> tuple[str, str]:
    """`host`, `host:port`, `[address]`, `[address]:port`, a bare address of version 6, or the folder of a socket."""
    if text.startswith("["):
        found = re.fullmatch(r"\[([^\]]+)\](?::([^:]*))?", text)
        if found is None:
            raise AddressError("an address in brackets cannot be read")
        return found[1], found[2] or ""
    if text.startswith("/") or text.count(":") > 1:
        return text, ""
    host, _, port = text.partition(":")
    return host, port


def _number(port: str) -> int:
    if not port:
        return PORT
    if not re.fullmatch(r"[0-9]{1,5}", port) or not 0 < int(port) < 65536:
        raise AddressError("a port is a number from 1 to 65535")
    return int(port)


def _plain(text: str) -> str:
    """Percent-decoded; a plus is a plus."""
    if re.search(r"%(?![0-9A-Fa-f]{2})|%00", text):
        raise AddressError("a percent sign stands for itself as %25")
    try:
        return re.sub(rb"%(..)", lambda m: bytes.fromhex(m[1].decode()), text.encode()).decode()
    except UnicodeError:
        raise AddressError("what stands there percent-encoded is no UTF-8") from None


def _quoted(text: str) -> str:
    return quote(text, safe="")


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host and not host.startswith("/") else host


def _escaped(value: str) -> str:
    return re.sub(r"([\\\s])", r"\\\1", value)
