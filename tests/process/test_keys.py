"""The keys of an instance are made once and never silently replaced."""

import asyncio
import stat
from datetime import timedelta
from pathlib import Path

import asyncpg
import pytest

from crewship.process import keys
from resolvers.instance.crypto import Signer, TokenInvalid, TokenKind
from resolvers.instance.settings import Settings, load_settings
from tests.conftest import Database

pytestmark = pytest.mark.anyio

MADE = ("NEXTAUTH_SECRET", "ENCRYPTION_KEY", "CREWSHIP_ADMIN_TOKEN_HMAC_KEY")


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*MADE, "ENCRYPTION_KEY_V2", "NEXTAUTH_SECRET_PREVIOUS"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def fresh(database: Database) -> str:
    """A migrated database in which nobody ever signed up and no key was recorded."""
    return database.url


def _settings(data_dir: Path, **given: str) -> Settings:
    return load_settings(data_dir=str(data_dir), **given)


async def _facts(url: str) -> dict[str, str]:
    connection = await asyncpg.connect(url)
    try:
        rows = await connection.fetch(
            "SELECT name, value FROM instance_facts WHERE name NOT IN ('cluster', 'release', 'works_from')"
        )
        return {row["name"]: row["value"] for row in rows}
    finally:
        await connection.close()


async def _execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


async def test_the_first_start_makes_keys_and_the_next_one_finds_them(fresh: str, tmp_path: Path) -> None:
    data = tmp_path / "data"
    first = await keys.settle(_settings(data), fresh)
    path = data / "secrets.env"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(data.stat().st_mode) == 0o700
    assert set(keys.stored(data)) == set(MADE)

    second = await keys.settle(_settings(data), fresh)
    assert keys.held(second) == keys.held(first) == keys.stored(data)


async def test_the_database_keeps_fingerprints_and_no_key(fresh: str, tmp_path: Path) -> None:
    await keys.settle(_settings(tmp_path), fresh)
    facts = await _facts(fresh)
    assert set(facts) == {*(f"key.{name}" for name in MADE), keys.EPOCH}
    for value in keys.stored(tmp_path).values():
        assert all(value not in fact and fact not in value for fact in facts.values())


async def test_the_epoch_is_made_once(fresh: str, tmp_path: Path) -> None:
    await keys.settle(_settings(tmp_path), fresh)
    epoch = (await _facts(fresh))[keys.EPOCH]
    await keys.settle(_settings(tmp_path), fresh)
    assert (await _facts(fresh))[keys.EPOCH] == epoch != ""


@pytest.mark.parametrize("name", MADE)
async def test_a_missing_key_stops_the_start(fresh: str, tmp_path: Path, name: str) -> None:
    await keys.settle(_settings(tmp_path), fresh)
    path = tmp_path / "secrets.env"
    path.write_text(
        "".join(line for line in path.read_text().splitlines(keepends=True) if not line.startswith(f"{name}="))
    )
    with pytest.raises(keys.KeysError, match=f"^{name} is missing") as refused:
        await keys.settle(_settings(tmp_path), fresh)
    assert str(path) in str(refused.value)
    assert name not in keys.stored(tmp_path)


@pytest.mark.parametrize("name", MADE)
async def test_a_different_key_stops_the_start_and_is_not_shown(
    fresh: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    await keys.settle(_settings(tmp_path), fresh)
    monkeypatch.setenv(name, "ab" * 32)
    with pytest.raises(keys.KeysError, match=f"^{name} is not the key") as refused:
        await keys.settle(_settings(tmp_path), fresh)
    assert "abab" not in str(refused.value)
    assert keys.stored(tmp_path)[name] not in str(refused.value)


@pytest.mark.parametrize("short", ["abc", "a secret of thirty-one bytes...", "ab" * 31])
async def test_a_new_instance_takes_no_short_secret(
    fresh: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, short: str
) -> None:
    monkeypatch.setenv("NEXTAUTH_SECRET", short)
    with pytest.raises(keys.KeysError, match=r"^NEXTAUTH_SECRET has fewer than 32 bytes") as refused:
        await keys.settle(_settings(tmp_path), fresh)
    assert short not in str(refused.value)
    assert await _facts(fresh) == {}
    monkeypatch.setenv("NEXTAUTH_SECRET", "ab" * 32)
    await keys.settle(_settings(tmp_path), fresh)


async def _in_use_with(short: str, fresh: str, data: Path) -> None:
    """An instance that began before there was a rule about lengths."""
    await keys.settle(_settings(data), fresh)
    pin = keys.fingerprint("NEXTAUTH_SECRET", short)
    await _execute(fresh, f"UPDATE instance_facts SET value = '{pin}' WHERE name = 'key.NEXTAUTH_SECRET'")


async def test_an_instance_in_use_goes_on_with_a_short_one_and_says_so(
    fresh: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    await _in_use_with("abc", fresh, tmp_path)
    monkeypatch.setenv("NEXTAUTH_SECRET", "abc")
    before = await _facts(fresh)
    await keys.settle(_settings(tmp_path), fresh)
    assert await _facts(fresh) == before
    [line] = [record for record in caplog.records if record.levelname == "ERROR"]
    assert "fewer than 32 bytes" in line.getMessage()
    assert "NEXTAUTH_SECRET_PREVIOUS" in line.getMessage()


async def test_the_signing_secret_is_replaced_beside_its_predecessor(
    fresh: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await keys.settle(_settings(tmp_path), fresh)
    old = keys.held(first)["NEXTAUTH_SECRET"]
    new = "the new one, which is long enough too"

    def given(current: str, previous: str | None) -> Settings:
        monkeypatch.setenv("NEXTAUTH_SECRET", current)
        monkeypatch.setenv("NEXTAUTH_SECRET_PREVIOUS", previous or "")
        return _settings(tmp_path)

    with pytest.raises(keys.KeysError, match=r"is not the key .* set NEXTAUTH_SECRET_PREVIOUS"):
        await keys.settle(given(new, None), fresh)
    with pytest.raises(keys.KeysError, match="is not the key"):
        await keys.settle(given(new, "some other secret, as long as it takes"), fresh)
    with pytest.raises(keys.KeysError, match="fewer than 32 bytes"):
        await keys.settle(given("short", old), fresh)
    pinned = (await _facts(fresh))["key.NEXTAUTH_SECRET"]
    await keys.settle(given(old, new), fresh)  # the first round of several processes
    assert (await _facts(fresh))["key.NEXTAUTH_SECRET"] == pinned
    second = await keys.settle(given(new, old), fresh)
    assert (await _facts(fresh))["key.NEXTAUTH_SECRET"] == keys.fingerprint("NEXTAUTH_SECRET", new)
    assert keys.still_good(second) == old
    await keys.settle(given(new, None), fresh)
    with pytest.raises(keys.KeysError, match="is not the key"):
        await keys.settle(given(old, None), fresh)


async def test_a_short_predecessor_proves_the_replacement_and_verifies_nothing(
    fresh: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await _in_use_with("abc", fresh, tmp_path)
    monkeypatch.setenv("NEXTAUTH_SECRET", "n" * 40)
    monkeypatch.setenv("NEXTAUTH_SECRET_PREVIOUS", "abc")
    settings = await keys.settle(_settings(tmp_path), fresh)
    assert keys.still_good(settings) is None


async def test_both_may_be_kept_in_the_file(fresh: str, tmp_path: Path) -> None:
    await keys.settle(_settings(tmp_path), fresh)
    path = tmp_path / "secrets.env"
    old = keys.stored(tmp_path)["NEXTAUTH_SECRET"]
    path.write_text(
        path.read_text().replace("NEXTAUTH_SECRET=", f"NEXTAUTH_SECRET={'n' * 40}\nNEXTAUTH_SECRET_PREVIOUS=")
    )
    settings = await keys.settle(_settings(tmp_path), fresh)
    assert keys.held(settings)["NEXTAUTH_SECRET"] == "n" * 40
    assert keys.still_good(settings) == old


def test_the_first_secret_signs_and_both_verify() -> None:
    now = 1_800_000_000.0
    old, new, both = Signer("old" * 20), Signer("new" * 20), Signer("new" * 20, "old" * 20)

    def signed(signer: Signer) -> str:
        return signer.sign(TokenKind.access, user_id="u", session_id="s", lifetime=timedelta(hours=1), now=now)[0]

    for token in (signed(old), signed(new)):
        assert both.read(TokenKind.access, token, now=now).user_id == "u"
        with pytest.raises(TokenInvalid):
            both.read(TokenKind.refresh, token, now=now)
    assert new.read(TokenKind.access, signed(both), now=now).user_id == "u"
    for reader, token in ((old, signed(both)), (new, signed(old)), (both, signed(Signer("other" * 20)))):
        with pytest.raises(TokenInvalid):
            reader.read(TokenKind.access, token, now=now)


async def test_a_second_replica_never_makes_its_own_keys(fresh: str, tmp_path: Path) -> None:
    await keys.settle(_settings(tmp_path / "one"), fresh)
    with pytest.raises(keys.KeysError, match="ENCRYPTION_KEY is missing"):
        await keys.settle(_settings(tmp_path / "two"), fresh)
    assert not (tmp_path / "two").exists()


async def test_of_two_replicas_that_start_at_once_one_wins(fresh: str, tmp_path: Path) -> None:
    tries = [keys.settle(_settings(tmp_path / name), fresh) for name in ("one", "two")]
    outcomes = await asyncio.gather(*tries, return_exceptions=True)
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["KeysError", "Settings"]


async def test_a_database_in_use_without_recorded_keys_needs_them_given(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await _execute(database_url, "DELETE FROM instance_facts")
    await _execute(
        database_url,
        "INSERT INTO users (id, email, onboarding_completed, failed_login_count, created_at, updated_at)"
        " VALUES ('cuser0000000000000000', 'ada@example.com', false, 0, now(), now())",
    )
    with pytest.raises(keys.KeysError, match="NEXTAUTH_SECRET is missing"):
        await keys.settle(_settings(tmp_path), database_url)
    assert not (tmp_path / "secrets.env").exists()
    for name in MADE:
        monkeypatch.setenv(name, "cd" * 32)
    await keys.settle(_settings(tmp_path), database_url)
    assert {f"key.{name}" for name in MADE} <= set(await _facts(database_url))


async def test_given_keys_are_not_copied_to_the_disk(
    fresh: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in MADE:
        monkeypatch.setenv(name, "ef" * 32)
    settled = await keys.settle(_settings(tmp_path), fresh)
    assert set(keys.held(settled).values()) == {"ef" * 32}
    assert not (tmp_path / "secrets.env").exists()


async def test_a_rotation_key_once_introduced_stays_needed(
    fresh: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await keys.settle(_settings(tmp_path), fresh)
    monkeypatch.setenv("ENCRYPTION_KEY_V2", "12" * 32)
    await keys.settle(_settings(tmp_path), fresh)
    monkeypatch.delenv("ENCRYPTION_KEY_V2")
    with pytest.raises(keys.KeysError, match="ENCRYPTION_KEY_V2 is missing"):
        await keys.settle(_settings(tmp_path), fresh)


async def test_a_damaged_file_is_named(fresh: str, tmp_path: Path) -> None:
    (tmp_path / "secrets.env").write_text("ENCRYPTION_KEY=short\n")
    with pytest.raises(keys.KeysError, match=r"ENCRYPTION_KEY in .*secrets.env takes 64 hexadecimal digits"):
        await keys.settle(_settings(tmp_path), fresh)
