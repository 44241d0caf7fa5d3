"""Which providers there are: as the environment says."""

import json
from pathlib import Path
from typing import Any

import pytest

from models.people.workspaces import Role
from resolvers.instance.settings import SettingsError, load_settings

VARIABLE = "CREWSHIP_SIGN_IN_PROVIDERS"
LEAST = {"id": "keycloak", "issuer": "https://sso.example/realms/crew", "client_id": "crewship"}


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (VARIABLE, "GOOGLE_CLIENT_ID", "GOOGLE_CLIENT_SECRET"):
        monkeypatch.delenv(name, raising=False)


def test_there_are_none_by_default() -> None:
    assert load_settings().providers == ()


def test_google_is_on_with_an_id_and_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOOGLE_CLIENT_ID", "an id")
    assert load_settings().providers == ()
    monkeypatch.setenv("GOOGLE_CLIENT_SECRET", "hunter2")
    (google,) = load_settings().providers
    assert (google.id, google.label, google.issuer) == ("google", "Google", "https://accounts.google.com")
    monkeypatch.setenv(VARIABLE, json.dumps([LEAST, LEAST | {"id": "google", "allowed_domains": ["Example.com"]}]))
    assert [(p.id, p.allowed_domains) for p in load_settings().providers] == [
        ("keycloak", ()),
        ("google", ("example.com",)),
    ]


def test_a_list_or_a_file_with_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    more = {"client_secret": "hunter2", "scopes": "groups email", "workspace": "w", "roles": {"admins": "ADMIN"}}
    file = tmp_path / "providers.json"
    file.write_text(json.dumps([LEAST | more]))
    for value in (file.read_text(), str(file)):
        monkeypatch.setenv(VARIABLE, value)
        settings = load_settings()
        (provider,) = settings.providers
        assert (provider.label, provider.scopes) == ("Keycloak", ("openid", "groups", "email"))
        assert provider.roles == {"admins": Role.ADMIN}
        assert "hunter2" not in repr(settings) + repr(provider) + repr(settings.model_dump())


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("{}", "takes a JSON list, or the path"),
        ("/nonexistent", "takes a JSON list, or the path"),
        ("[", "not a JSON list"),
        ([7], "provider 1:"),
        ([LEAST, LEAST], "two providers have the same id"),
        ([LEAST | {"id": f"p{n}"} for n in range(21)], "at most 20"),
        ([{"id": "keycloak"}], "issuer Field required"),
        ([LEAST | {"id": "Key Cloak"}], "provider 1: id"),
        ([LEAST | {"issuer": "http://sso.example"}], "issuer: takes an https URL"),
        ([LEAST | {"issuer": "https://u:p@sso.example"}], "issuer: takes an https URL"),
        ([LEAST | {"issuer": "https://sso.example?x=1"}], "issuer: takes an https URL"),
        ([LEAST | {"client_id": ""}], "client_id"),
        ([LEAST | {"scopes": ["a b"]}], "scopes: takes a list"),
        ([LEAST | {"allowed_domains": "example.com"}], "allowed_domains: takes a list"),
        ([LEAST | {"roles": {"admins": "ADMIN"}}], "required together"),
        ([LEAST | {"workspace": "w"}], "required together"),
        ([LEAST | {"workspace": "w", "roles": {"admins": "KING"}}], "roles"),
        ([LEAST | {"secret": "hunter2"}], "secret"),
        ([LEAST | {"client_secret": ["hunter2"]}], "client_secret"),
    ],
    ids=str,
)
def test_what_is_wrong_is_said_without_a_secret(monkeypatch: pytest.MonkeyPatch, value: Any, said: str) -> None:
    monkeypatch.setenv(VARIABLE, value if isinstance(value, str) else json.dumps(value))
    with pytest.raises(SettingsError) as refused:
        load_settings()
    assert VARIABLE in str(refused.value)
    assert said.replace("issuer Field", "issuer: Field") in str(refused.value)
    assert "hunter2" not in str(refused.value)


def test_plain_http_is_for_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, json.dumps([LEAST | {"issuer": "http://127.0.0.1:8080/realms/crew"}]))
    assert load_settings().providers[0].plain


def test_strangers_and_unsafe_commands_do_not_go_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CREWSHIP_UNSAFE_PROCESS", "true")
    monkeypatch.setenv(VARIABLE, json.dumps([LEAST]))
    load_settings()
    monkeypatch.setenv(VARIABLE, json.dumps([LEAST | {"signup": True}]))
    with pytest.raises(SettingsError, match="CREWSHIP_UNSAFE_PROCESS"):
        load_settings()
