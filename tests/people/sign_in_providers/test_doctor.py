"""`crewship doctor` asks each provider what a sign-in would."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from crewship.cli.checks import Check
from crewship.cli.doctor import check_sign_in_providers
from resolvers.instance.settings import load_settings
from tests.people.sign_in_providers.provider import CLIENT, SECRET, Provider

pytestmark = pytest.mark.anyio


async def checked(provider: Provider, tmp_path: Path, issuer: str, **values: Any) -> Check:
    entry = {"id": "harbour", "issuer": issuer, "client_id": CLIENT, "client_secret": SECRET}
    settings = load_settings(data_dir=str(tmp_path)).model_copy(
        update={"sign_in_providers": SecretStr(json.dumps([entry])), "public_url": "https://crewship.example"} | values
    )
    (check,) = await asyncio.to_thread(check_sign_in_providers, settings)
    assert SECRET not in json.dumps(check.as_dict())
    assert check.name == "sign-in with Harbour"
    return check


async def test_a_provider_that_answers_is_sound_and_the_redirect_uri_is_said(
    provider: Provider, tmp_path: Path
) -> None:
    issuer = provider.issuer("doctor").url
    check = await checked(provider, tmp_path, issuer)
    assert (check.ok, check.fix) == (True, "")
    assert check.found == (
        f"{issuer} answers; register the redirect URI https://crewship.example/api/v1/auth/oidc/harbour/callback"
    )
    hinted = await checked(provider, tmp_path, issuer, public_url=None)
    assert hinted.ok
    assert "CREWSHIP_PUBLIC_URL" in hinted.fix


@pytest.mark.parametrize(
    ("metadata", "said"),
    [
        ({"issuer": "https://another.example"}, "issuer differs"),
        ({"jwks_uri": "http://keys.example/"}, "not safe"),
        ({"id_token_signing_alg_values_supported": ["HS256", "none"]}, "no accepted signing key"),
        ({"id_token_signing_alg_values_supported": ["ES256"]}, "no accepted signing key"),
    ],
    ids=str,
)
async def test_what_would_refuse_a_sign_in_is_found(
    provider: Provider, tmp_path: Path, metadata: dict[str, Any], said: str
) -> None:
    issuer = provider.issuer("doctor")
    issuer.metadata = metadata
    check = await checked(provider, tmp_path, issuer.url)
    assert not check.ok
    assert said in check.found


async def test_a_provider_that_is_away_is_found(provider: Provider, tmp_path: Path) -> None:
    issuer = provider.issuer("doctor")
    issuer.down = True
    assert "503" in (await checked(provider, tmp_path, issuer.url)).found
    nobody = await checked(provider, tmp_path, "http://127.0.0.1:9")
    assert (nobody.ok, bool(nobody.fix)) == (False, True)


def test_without_providers_nothing_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CREWSHIP_SIGN_IN_PROVIDERS", "GOOGLE_CLIENT_ID"):
        monkeypatch.delenv(name, raising=False)
    assert check_sign_in_providers(load_settings(data_dir=str(tmp_path))) == []
