"""Data keys that another server wraps: what it is asked, and what holds while it cannot be asked."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from crewship.cli.reseal import needed, reseal
from crewship.process import keys
from crewship.process.database import Access
from resolvers.errors import Code, Refusal
from resolvers.instance import data_keys, transit
from resolvers.instance.running import instance
from resolvers.instance.settings import SettingsError, load_settings
from resolvers.instance.transit import Login, Transit
from resolvers.instance.vault import Unopenable, Vault
from resolvers.instance.wrapping import Unwrappable, Wrapped
from tests.every import each_of
from tests.instance.openbao import ROLE, ROOT, SECRET_ID, OpenBao, openbao
from tests.instance.stores import KeysInMemory
from tests.kernel.safe import table_of_secrets
from tests.world import settings_for, world_on

pytestmark = pytest.mark.anyio
KEY, PLACE, HERE = b"k" * 32, b"place", "cworkspace1"
OWN = {1: b"\x01" * 32}


@pytest.fixture
async def bao() -> AsyncIterator[OpenBao]:
    async with openbao() as made:
        yield made


def by_token(bao: OpenBao) -> Transit:
    return Transit(bao.url, "crewship", Login(token=ROOT))


async def refused(call: Any) -> Refusal:
    with pytest.raises(Refusal) as caught:
        await call
    assert caught.value.code is Code.UNAVAILABLE
    for secret in (ROOT, SECRET_ID, KEY.decode()):
        assert secret not in f"{caught.value} {caught.value.detail} {caught.value.__cause__}"
    return caught.value


async def test_a_key_is_wrapped_for_its_place_by_a_version_that_is_named(bao: OpenBao) -> None:
    one = by_token(bao)
    wrapped = await one.wrap(KEY, PLACE)
    assert wrapped.by == "transit/crewship:v1"
    assert KEY not in wrapped.key
    assert await one.unwrap(wrapped, PLACE) == KEY
    bao.rotate()
    assert (await one.wrap(KEY, PLACE)).by == "transit/crewship:v2"
    assert await one.unwrap(wrapped, PLACE) == KEY
    assert bao.asked[0] == "POST /v1/transit/encrypt/crewship"
    for wrong in (
        one.unwrap(wrapped, b"another"),
        one.unwrap(Wrapped(wrapped.by, wrapped.key[:-4] + b"AAA="), PLACE),
        one.unwrap(Wrapped("transit/other:v1", wrapped.key), PLACE),
    ):
        with pytest.raises(Unwrappable):
            await wrong


async def test_a_role_signs_in_once_and_again_when_its_token_is_not_taken(bao: OpenBao, tmp_path: Path) -> None:
    secret = tmp_path / "secret-id"
    secret.write_text(f"{SECRET_ID}\n")
    one = Transit(bao.url, "crewship", Login(role_id=ROLE, secret_id_file=secret))
    wrapped = await one.wrap(KEY, PLACE)
    assert await one.unwrap(wrapped, PLACE) == KEY
    assert bao.logins == 1
    bao.tokens.clear()
    assert await one.unwrap(wrapped, PLACE) == KEY
    assert bao.logins == 2
    secret.write_text("another")
    bao.tokens.clear()
    assert "400" in (await refused(one.unwrap(wrapped, PLACE))).detail
    secret.unlink()
    assert "cannot be read" in (await refused(one.unwrap(wrapped, PLACE))).detail


async def test_a_token_in_a_file_may_be_renewed_and_a_namespace_is_told(bao: OpenBao, tmp_path: Path) -> None:
    token, bao.namespace = tmp_path / "token", "team"
    token.write_text("s.old")
    one = Transit(bao.url, "crewship", Login(token_file=token), namespace="team")
    assert "403" in (await refused(one.wrap(KEY, PLACE))).detail
    token.write_text(ROOT)
    assert await one.unwrap(await one.wrap(KEY, PLACE), PLACE) == KEY
    assert "404" in (await refused(Transit(bao.url, "crewship", Login(token=ROOT)).wrap(KEY, PLACE))).detail


@pytest.mark.parametrize(
    ("status", "answer"),
    [
        (307, {}), (412, {"errors": ["required index state not present"]}), (429, {"errors": ["rate limit exceeded"]}),
        (472, {}), (473, {}), (500, {"errors": ["internal error"]}), (503, {"errors": ["Vault is sealed"]}),
        (200, {"data": None, "wrap_info": {"token": "s.wrapping", "ttl": 60}}), (200, []), (200, None),
        (200, {"data": {"ciphertext": 7, "plaintext": 7}}), (200, {"data": {"ciphertext": "x", "plaintext": "é"}}),
        (200, {"data": {"ciphertext": "vault:v1:" + "A" * 70_000, "plaintext": "A" * 70_000}}), (204, {}),
    ],
)  # fmt: skip
async def test_what_is_no_answer_loses_no_key(bao: OpenBao, status: int, answer: Any) -> None:
    """A key that cannot be unwrapped now can be later: none of these says that it never can."""
    one = by_token(bao)
    wrapped = await one.wrap(KEY, PLACE)
    bao.answers = (status, answer)
    await refused(one.wrap(KEY, PLACE))
    await refused(one.unwrap(wrapped, PLACE))
    bao.answers = None
    assert await one.unwrap(wrapped, PLACE) == KEY


@pytest.mark.parametrize("token", ["", "\n", "two\nlines", "a b", "\x00", "ü"])
async def test_a_file_without_a_token_is_told_of(bao: OpenBao, tmp_path: Path, token: str) -> None:
    (path := tmp_path / "token").write_text(token)
    one = Transit(bao.url, "crewship", Login(token_file=path))
    assert "the token is empty" in (await refused(one.unwrap(Wrapped("transit/crewship:v1", b"x"), PLACE))).detail
    assert bao.asked == []


async def test_what_is_unwrapped_goes_on_for_a_while_without_it(bao: OpenBao, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(data_keys.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(transit, "TIMEOUT", 0.2)
    vault = Vault(OWN, KeysInMemory(), wrappings=[by_token(bao)], own_first=False)
    with table_of_secrets() as safe:
        where: Any = {"table": safe, "column": "value", "row_id": "c1"}
        sealed = await vault.seal("text", **where, workspace_id=HERE)
        asked = len(bao.asked)
        bao.sealed = True
        assert (await vault.open(sealed, **where)).reveal() == "text"
        await vault.seal("more", **where, workspace_id=HERE)
        assert len(bao.asked) == asked
        now[0] += data_keys.LIFETIME
        assert "503" in (await refused(vault.open(sealed, **where))).detail
        await refused(vault.seal("more", **where, workspace_id=HERE))
        bao.sealed, bao.silent = False, True
        await refused(vault.open(sealed, **where))
        bao.silent = False
        assert (await vault.open(sealed, **where)).reveal() == "text"
        bao.versions[0] = b"x" * 32
        now[0] += data_keys.LIFETIME
        with pytest.raises(Unopenable):
            await vault.open(sealed, **where)


async def test_an_instance_goes_over_to_it_and_back(database: Any, bao: OpenBao, tmp_path: Path) -> None:
    """Started, sealed in, wrapped anew by a later version, refused without it, and left again."""
    given: dict[str, Any] = {"transit_address": bao.url, "transit_token": SecretStr(ROOT)}
    access = Access(database.url, database.url, None)
    async with world_on(database, tmp_path, **given) as world:
        answer = await world.rest(world.owner, "POST", "/api/v1/credentials", {"name": "kept", "value": "a value"})
        assert answer.status_code == 201
        by = "SELECT wrapped_by FROM data_keys"
        assert await world.database.fetchval(by) == "transit/crewship:v1"
        bao.rotate()
        done = await reseal(world.settings, access, lambda _: None)
        assert (done.wrapped, done.needed.wraps) == (1, "transit/crewship:v2")
        assert await world.database.fetchval(by) == "transit/crewship:v2"
        bao.sealed = True
        instance.vault.data_keys._opened.clear()
        instance.vault.data_keys._current.clear()
        made = await world.rest(world.owner, "POST", "/api/v1/credentials", {"name": "later", "value": "a value"})
        assert (made.status_code, made.json()["detail"]) == (
            503, "The key service is unavailable: it answered with status 503",
        )  # fmt: skip
        assert await world.database.fetchval("SELECT count(*) FROM credentials") == 1
        with pytest.raises(keys.KeysError, match="it answered with status 503"):
            await keys.settle(world.settings, database.url)
        with pytest.raises(keys.KeysError, match="it answered with status 503"):
            await needed(world.settings, access)
        bao.sealed = False
        await keys.settle(world.settings, database.url)
        with pytest.raises(keys.KeysError, match="transit/crewship:v2 wraps 1 data keys"):
            await keys.settle(settings_for(database.url, tmp_path), database.url)
        back = settings_for(database.url, tmp_path, **given, wrapping_key=1)
        assert (await reseal(back, access, lambda _: None)).needed.keys == {"ENCRYPTION_KEY": 1}
        await keys.settle(settings_for(database.url, tmp_path), database.url)


@each_of(
    ("given", "told"),
    [
        ({"transit_address": "https://bao.example.com"}, "requires one way to sign in"),
        ({"transit_token": "x"}, "requires one way to sign in"),
        ({"transit_address": "https://bao.example.com", "transit_role_id": "x"}, "requires one way to sign in"),
        (
            {"transit_address": "https://bao.example.com", "transit_token": "x", "transit_token_file": "/x"},
            "requires one way to sign in",
        ),
        ({"transit_address": "http://bao.example.com", "transit_token": "x"}, "takes a URL|but takes a URL"),
        ({"encryption_keys": "3:abc"}, "CREWSHIP_ENCRYPTION_KEYS takes keys by their numbers"),
        ({"encryption_keys": f"2:{'ab' * 32}"}, "CREWSHIP_ENCRYPTION_KEYS takes"),
        ({"encryption_keys": f"3:{'ab' * 32},3:{'cd' * 32}"}, "CREWSHIP_ENCRYPTION_KEYS takes"),
        ({"encryption_keys": "/nowhere/at/all"}, "CREWSHIP_ENCRYPTION_KEYS takes"),
    ],
)
def test_settings_that_say_half_of_it_are_refused(given: dict[str, str], told: str) -> None:
    with pytest.raises(SettingsError, match=told) as refused:
        load_settings(**given)
    assert "ab" * 32 not in str(refused.value)


def test_further_keys_may_stand_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text(f"3:{'ab' * 32}\n4:{'cd' * 32}\n")
    settings = load_settings(encryption_key="12" * 32, encryption_keys=str(path))
    assert list(keys.wrapping_keys(settings)) == [4, 3, 1]
    assert list(keys.wrapping_keys(settings.model_copy(update={"wrapping_key": 1}))) == [1, 4, 3]
    with pytest.raises(keys.KeysError, match="ENCRYPTION_KEY_V9 is not set"):
        keys.wrapping_keys(settings.model_copy(update={"wrapping_key": 9}))
    assert "ab" * 32 not in repr(settings)
