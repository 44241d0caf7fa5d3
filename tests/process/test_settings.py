"""The environment: what it may say, and what a reader sees when it says something else."""

from ipaddress import ip_network
from pathlib import Path

import pytest

from models.address import Address
from resolvers.instance.settings import Settings, SettingsError, default_data_dir, load_settings


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        alias = Settings.model_fields[name].validation_alias
        for variable in getattr(alias, "choices", [alias]):
            monkeypatch.delenv(str(variable), raising=False)


def test_the_defaults_are_safe() -> None:
    settings = load_settings()
    assert (settings.host, settings.port) == ("127.0.0.1", 8080)
    assert not settings.allow_signup
    assert settings.row_level_security
    assert not settings.ratelimit_disabled
    assert (settings.ratelimit_auth, settings.ratelimit_credential_test, settings.ratelimit_api) == (10, 60, 120)
    assert settings.socket_path == settings.data_dir / "run" / "crewship.sock"


@pytest.mark.parametrize(
    ("variable", "value", "takes"),
    [
        ("CREWSHIP_PORT", "eighty", "a port number"),
        ("CREWSHIP_PORT", "70000", "a port number"),
        ("CREWSHIP_ROLE", "boss", "all, api or worker"),
        ("CREWSHIP_FORCE_SECURE_COOKIES", "perhaps", "a boolean"),
        ("CREWSHIP_DISABLE_RATELIMIT", "perhaps", "a boolean"),
        ("CREWSHIP_BOOTSTRAP_WINDOW", "5 minutes", "a duration"),
        ("CREWSHIP_BOOTSTRAP_WINDOW", "-5m", "a duration"),
        ("CREWSHIP_TRUSTED_PROXY_CIDRS", "10.0.0.0/40", "addresses or networks"),
        ("CREWSHIP_ALLOWED_ORIGINS", "example.com", "origins"),
        ("CREWSHIP_PUBLIC_URL", "https://example.com/path", "an origin"),
        ("CREWSHIP_MAIL_FROM", "Crewship", "a sender"),
        ("RESEND_FROM", "Crewship <no-reply@example.com>\nBcc: x@example.com", "a sender"),
        ("CREWSHIP_RATELIMIT_API", "0", "a number of requests"),
        ("CREWSHIP_POOL_SIZE", "none", "a number of database connections"),
        ("CREWSHIP_MAX_CONCURRENT_RUNS", "0", "a number of runs, at least 1"),
        ("CREWSHIP_RUN_ADAPTER", "magic", "auto, native, cli, local_model or scripted"),
        ("CREWSHIP_CONTAINER_PROVIDER", "podman", "auto, docker, apple or kubernetes"),
        ("CREWSHIP_BUILD_DOMAINS", "*.example.com", "names of hosts, between commas"),
        ("CREWSHIP_BUILD_DOMAINS", "example.com,10.0.0.1", "names of hosts, between commas"),
        ("CREWSHIP_BUILD_DOMAINS", "https://example.com", "names of hosts, between commas"),
        ("CREWSHIP_LOG_LEVEL", "loud", "debug, info, warn or error"),
    ],
)
def test_a_bad_value_is_one_line_that_names_the_variable(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, takes: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError) as refused:
        load_settings()
    text = str(refused.value)
    assert text.startswith(f"{variable} is {value!r}, but takes {takes}")
    assert "\n" not in text


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("ENCRYPTION_KEY", "c0ffee"),
        ("ENCRYPTION_KEY_V2", "g" * 64),
        ("CREWSHIP_ADMIN_TOKEN_HMAC_KEY", "ab" * 31),
        ("DATABASE_URL", "mysql://root:hunter2@db/crewship"),
        ("CREWSHIP_MIGRATION_DATABASE_URL", "hunter2"),
        ("CREWSHIP_REDIS_URL", "http://:hunter2@redis"),
        ("CREWSHIP_SMTP_URL", "http://u:hunter2@mail"),
        ("CREWSHIP_SMTP_URL", "smtp://u:hunter2@mail?tls=maybe"),
        ("CREWSHIP_SMTP_URL", "smtps://u:hunter2@mail?tls=off"),
        ("CREWSHIP_SMTP_URL", "smtp://u:hunter2@mail:port"),
        ("CREWSHIP_SMTP_URL", "smtp://:hunter2@"),
    ],
)
def test_a_bad_secret_is_named_and_not_shown(monkeypatch: pytest.MonkeyPatch, variable: str, value: str) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError) as refused:
        load_settings()
    assert str(refused.value).startswith(f"{variable} takes ")
    assert value not in str(refused.value)


def test_every_bad_variable_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CREWSHIP_PORT", "x")
    monkeypatch.setenv("CREWSHIP_ROLE", "x")
    with pytest.raises(SettingsError) as refused:
        load_settings()
    assert [line.split()[0] for line in str(refused.value).splitlines()] == ["CREWSHIP_PORT", "CREWSHIP_ROLE"]


@pytest.mark.parametrize("env", ["prod", "production"])
@pytest.mark.parametrize("variable", ["CREWSHIP_RATELIMIT_DISABLED", "CREWSHIP_DISABLE_RATELIMIT"])
def test_production_keeps_its_rate_limiter(monkeypatch: pytest.MonkeyPatch, env: str, variable: str) -> None:
    monkeypatch.setenv(variable, "true")
    assert load_settings().ratelimit_disabled
    monkeypatch.setenv("CREWSHIP_ENV", env)
    with pytest.raises(SettingsError, match="CREWSHIP_RATELIMIT_DISABLED"):
        load_settings()


def test_strangers_may_not_run_commands_without_a_sandbox(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CREWSHIP_UNSAFE_PROCESS", "true")
    assert load_settings().unsafe_process
    monkeypatch.setenv("CREWSHIP_ALLOW_SIGNUP", "true")
    with pytest.raises(SettingsError, match="CREWSHIP_UNSAFE_PROCESS"):
        load_settings()


@pytest.mark.parametrize(("text", "seconds"), [("5m", 300), ("90s", 90), ("1h30m", 5400), ("0s", 0)])
def test_durations(monkeypatch: pytest.MonkeyPatch, text: str, seconds: int) -> None:
    monkeypatch.setenv("CREWSHIP_BOOTSTRAP_WINDOW", text)
    assert load_settings().bootstrap_window == seconds


def test_lists_take_single_addresses_and_spaces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CREWSHIP_TRUSTED_PROXY_CIDRS", "10.0.0.7, 192.168.0.0/16,::1")
    monkeypatch.setenv("CREWSHIP_ALLOWED_ORIGINS", "https://a.example/, http://b.example:8443")
    monkeypatch.setenv("CREWSHIP_BUILD_DOMAINS", "A.example, b.c.example")
    settings = load_settings()
    assert settings.trusted_proxy_cidrs == (
        ip_network("10.0.0.7/32"),
        ip_network("192.168.0.0/16"),
        ip_network("::1/128"),
    )
    assert settings.allowed_origins == ("https://a.example", "http://b.example:8443")
    assert settings.build_domains == ("a.example", "b.c.example")


@pytest.mark.parametrize(("value", "on"), [("true", True), ("1", False), ("yes", False), ("TRUE", False)])
def test_internal_routes_open_up_for_exactly_true(monkeypatch: pytest.MonkeyPatch, value: str, on: bool) -> None:
    monkeypatch.setenv("CREWSHIP_INTERNAL_ALLOW_ANY", value)
    assert load_settings().internal_allow_any is on


def test_no_secret_in_repr(monkeypatch: pytest.MonkeyPatch) -> None:
    values = {
        "DATABASE_URL": "postgresql://u:hunter2-database@h/d",
        "CREWSHIP_MIGRATION_DATABASE_URL": "postgresql://u:hunter2-migration@h/d",
        "CREWSHIP_REDIS_URL": "redis://:hunter2-redis@h",
        "OPENAI_API_KEY": "hunter2-openai",
        "ANTHROPIC_API_KEY": "hunter2-anthropic",
        "NEXTAUTH_SECRET": "hunter2-session",
        "ENCRYPTION_KEY": "ab" * 32,
        "ENCRYPTION_KEY_V2": "ab" * 32,
        "CREWSHIP_ADMIN_TOKEN_HMAC_KEY": "ab" * 32,
        "CREWSHIP_INTERNAL_TOKEN": "hunter2-internal",
        "CREWSHIP_METRICS_TOKEN": "hunter2-metrics",
        "GOOGLE_CLIENT_SECRET": "hunter2-google",
        "RESEND_API_KEY": "hunter2-resend",
        "CREWSHIP_SMTP_URL": "smtp://u:hunter2-mail@h",
    }
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    settings = load_settings()
    for shown in (repr(settings), str(settings), repr(settings.model_dump())):
        assert "hunter2" not in shown
        assert "abab" not in shown


def test_an_argument_wins_and_its_refusal_shows_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CREWSHIP_PORT", "9000")
    assert load_settings(port=9001, host=None).port == 9001
    with pytest.raises(SettingsError, match="CREWSHIP_PORT is '70000'"):
        load_settings(port=70000)


def test_an_empty_variable_is_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CREWSHIP_PORT", "")
    monkeypatch.setenv("DATABASE_URL", "")
    settings = load_settings()
    assert (settings.port, settings.database_url) == (8080, None)


def test_of_several_servers_the_one_that_writes_is_meant(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = {"": "read-write", "?target_session_attrs=primary": "primary"}
    for given, meant in asked.items():
        monkeypatch.setenv("DATABASE_URL", f"postgresql://u:p@a:1,b:2/d{given}")
        found = load_settings().database_url
        assert found is not None
        assert Address.read(found.get_secret_value()).parameters == {"target_session_attrs": meant}
    monkeypatch.setenv("DATABASE_URL", "postgresql://u:hunter2@a:1,b:2/d?target_session_attrs=any")
    with pytest.raises(SettingsError, match="target_session_attrs is read-write") as refused:
        load_settings()
    assert "hunter2" not in str(refused.value)
    monkeypatch.setenv("DATABASE_URL", "postgresql://u:p@a:1/d")
    alone = load_settings().database_url
    assert alone is not None
    assert Address.read(alone.get_secret_value()).parameters == {}


def test_the_data_directory_follows_the_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "shared"))
    assert default_data_dir() == tmp_path / "shared" / "crewship"
    monkeypatch.delenv("XDG_DATA_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_data_dir() == tmp_path / ".local/share/crewship"
    monkeypatch.setenv("HOME", "/nonexistent")
    assert default_data_dir() == tmp_path / ".data"


def test_a_socket_path_that_no_kernel_takes_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CREWSHIP_DATA_DIR", "/" + "d" * 100)
    with pytest.raises(SettingsError, match="CREWSHIP_SOCKET_PATH"):
        load_settings()
    monkeypatch.setenv("CREWSHIP_SOCKET_PATH", "/run/crewship.sock")
    assert load_settings().socket_path == Path("/run/crewship.sock")
