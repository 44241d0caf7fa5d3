"""Sealed and opened secrets: what they are bound to, and what never shows them."""

import asyncio
import copy
import json
import logging
import pickle
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pydantic import BaseModel
from pydantic_core import PydanticSerializationError

from models.sealed import SEAL, Sealed
from models.work.labels import Label
from resolvers.instance.data_keys import LIFETIME
from resolvers.instance.vault import Revealed, Unopenable, Vault, told_of_secrets
from resolvers.kernel.declarations.events import Event
from resolvers.kernel.declarations.outputs import Output
from resolvers.kernel.ground.inputs import Input
from resolvers.rules.redaction import Redactor
from tests.instance.stores import KeysInMemory
from tests.kernel.safe import table_of_secrets
from tests.sealing import sealed_before

TEXT = "ghp_pässwörd 🔑"
OLD, NEW, THIRD = b"\x01" * 32, b"\x02" * 32, b"\x03" * 32
pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def safe() -> Iterator[Any]:
    with table_of_secrets() as made:
        yield made


def place(safe: Any, row_id: str = "c1") -> dict[str, Any]:
    return {"table": safe, "column": "value", "row_id": row_id}


HERE, THERE = "cworkspace1", "cworkspace2"


def vault_of(store: KeysInMemory, *keys: int, **options: Any) -> Vault:
    """The first of the keys wraps."""
    return Vault({number: {1: OLD, 2: NEW, 3: THIRD}[number] for number in keys or (1,)}, store, **options)


async def test_what_is_sealed_opens_where_it_belongs(safe: Any) -> None:
    vault = vault_of(KeysInMemory())
    one, two = [await vault.seal(TEXT, **place(safe), workspace_id=HERE) for _ in range(2)]
    assert one != two
    assert bytes(TEXT, "utf-8") not in one
    assert len(one) <= len(TEXT.encode()) + SEAL
    assert (await vault.open(one, **place(safe))).reveal() == TEXT
    empty = await vault.seal("", **place(safe), workspace_id=None)
    assert (await vault.open(empty, **place(safe))).reveal() == ""


async def test_the_format_is_what_the_module_says(safe: Any) -> None:
    store = KeysInMemory()
    sealed = bytes(await vault_of(store, 2, 1).seal(TEXT, **place(safe), workspace_id=HERE))
    [stored] = store.keys.values()
    assert sealed[:14] == b"\xff\x02" + bytes.fromhex(stored.id[1:])
    assert (stored.workspace_id, stored.wrapped.by) == (HERE, "ENCRYPTION_KEY_V2")
    bound = f"data key\0{stored.id}\0{HERE}".encode()
    key = AESGCM(NEW).decrypt(stored.wrapped.key[:16], stored.wrapped.key[16:], bound)
    assert len(key) == 32
    associated = sealed[:14] + b"safes\0value\0c1"
    assert AESGCM(key).decrypt(sealed[14:30], sealed[30:], associated).decode() == TEXT


async def test_every_workspace_has_a_data_key_of_its_own_and_the_instance_too(safe: Any) -> None:
    store = KeysInMemory()
    vault = vault_of(store)
    heads = {
        of: {bytes((await vault.seal(TEXT, **place(safe), workspace_id=of))[:14]) for _ in range(3)}
        for of in (HERE, THERE, None)
    }
    assert [len(found) for found in heads.values()] == [1, 1, 1]
    assert len(set.union(*heads.values())) == len(store.keys) == 3


async def test_what_was_sealed_before_there_were_data_keys_still_opens(safe: Any) -> None:
    sealed = sealed_before(TEXT, **place(safe), key=OLD)
    assert sealed[:3] == b"\xff\x01\x01"
    assert (await vault_of(KeysInMemory(), 2, 1).open(sealed, **place(safe))).reveal() == TEXT
    with pytest.raises(Unopenable):
        await vault_of(KeysInMemory(), 2).open(sealed, **place(safe))


async def test_the_first_key_wraps_and_each_unwraps(safe: Any) -> None:
    store = KeysInMemory()
    sealed = {
        number: await vault_of(store, number, *others).seal(TEXT, **place(safe), workspace_id=f"cworkspace{number}")
        for number, others in ((1, ()), (2, (1,)), (3, (2, 1)))
    }
    assert {each.wrapped.by for each in store.keys.values()} == {
        "ENCRYPTION_KEY", "ENCRYPTION_KEY_V2", "ENCRYPTION_KEY_V3",
    }  # fmt: skip
    for number, each in sealed.items():
        for known in ((3, 2, 1), (number,)):
            assert (await vault_of(store, *known).open(each, **place(safe))).reveal() == TEXT
        with pytest.raises(Unopenable):
            await vault_of(store, number % 3 + 1).open(each, **place(safe))
        wrong = Vault({number: b"x" * 32}, store)
        with pytest.raises(Unopenable):
            await wrong.open(each, **place(safe))
        with pytest.raises(Unopenable):
            await wrong.seal(TEXT, **place(safe), workspace_id=f"cworkspace{number}")


async def test_a_data_key_that_is_wrapped_anew_opens_what_it_opened(safe: Any) -> None:
    store = KeysInMemory()
    before = vault_of(store, 1)
    sealed = await before.seal(TEXT, **place(safe), workspace_id=HERE)
    [stored] = store.keys.values()
    store.keys[stored.id] = await vault_of(store, 2, 1).data_keys.wrapped_anew(stored)
    assert store.keys[stored.id].wrapped.by == "ENCRYPTION_KEY_V2"
    assert (await vault_of(store, 2).open(sealed, **place(safe))).reveal() == TEXT


async def test_no_data_key_is_good_in_the_place_of_another(safe: Any) -> None:
    store = KeysInMemory()
    vault = vault_of(store)
    ours = await vault.seal(TEXT, **place(safe), workspace_id=HERE)
    await vault.seal(TEXT, **place(safe), workspace_id=THERE)
    here, there = store.sealing[HERE], store.sealing[THERE]
    for id, changed in (
        (here, store.keys[here]._replace(wrapped=store.keys[there].wrapped)),
        (here, store.keys[here]._replace(workspace_id=THERE)),
        (here, store.keys[there]),
    ):
        moved = KeysInMemory()
        moved.keys = store.keys | {id: changed}
        with pytest.raises(Unopenable):
            await vault_of(moved).open(ours, **place(safe))


async def test_an_unwrapped_key_is_kept_for_a_while_and_looked_up_once(
    safe: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, now = KeysInMemory(), [1000.0]
    monkeypatch.setattr("resolvers.instance.data_keys.time.monotonic", lambda: now[0])
    vault = vault_of(store)
    many = [vault.seal(TEXT, **place(safe), workspace_id=HERE) for _ in range(20)]
    sealed = await asyncio.gather(*many)
    assert store.asked == 1
    now[0] += LIFETIME - 1
    await vault.open(sealed[0], **place(safe))
    assert store.asked == 1
    now[0] += 1
    await asyncio.gather(*[vault.open(each, **place(safe)) for each in sealed])
    assert store.asked == 2
    store.sealing[HERE] = (await store.add(await vault.data_keys.make(THERE))).id  # another one seals
    again = await vault.seal(TEXT, **place(safe), workspace_id=HERE)
    assert again[:14] != sealed[0][:14]


async def test_who_gives_up_does_not_take_the_key_from_others(safe: Any) -> None:
    store, go_on = KeysInMemory(), asyncio.Event()
    find = store.current

    async def slow(workspace_id: str | None) -> Any:
        await go_on.wait()
        return await find(workspace_id)

    store.current = slow  # type: ignore[method-assign]
    vault = vault_of(store)
    first, second = [asyncio.ensure_future(vault.seal(TEXT, **place(safe), workspace_id=HERE)) for _ in range(2)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    first.cancel()
    go_on.set()
    assert (await vault.open(await second, **place(safe))).reveal() == TEXT
    assert first.cancelled()


async def test_nothing_opens_anywhere_else_or_changed(safe: Any) -> None:
    vault = vault_of(KeysInMemory())
    new = await vault.seal(TEXT, **place(safe), workspace_id=HERE)
    for sealed in (new, sealed_before(TEXT, **place(safe), key=OLD)):
        changed = [bytes([*sealed[:at], sealed[at] ^ 1, *sealed[at + 1 :]]) for at in range(len(sealed))]
        cut = [sealed[:at] for at in (len(sealed) - 1, 30, 19, 15, 14, 13, 3, 2, 1, 0)]
        for text in [*changed, *cut, sealed + b"x"]:
            with pytest.raises(Unopenable) as refused:
                await vault.open(Sealed(text), **place(safe))
            assert TEXT not in str(refused.value)
        with pytest.raises(Unopenable):
            await vault.open(sealed, **place(safe, "c2"))


async def test_a_place_is_a_column_of_secrets(safe: Any) -> None:
    vault = vault_of(KeysInMemory())
    for table, column in ((safe, "name"), (safe, "nothing"), (Label, "name")):
        with pytest.raises(TypeError, match="no column of secrets"):
            await vault.seal(TEXT, table=table, column=column, row_id="c1", workspace_id=HERE)
    with pytest.raises(RuntimeError, match="keys"):
        Vault({}, KeysInMemory())


class Anything(BaseModel):
    value: Any


@pytest.mark.parametrize("wrap", [lambda v: v, lambda v: {"value": v}, lambda v: [v]])
def test_an_opened_secret_shows_itself_to_nobody(wrap: Any, caplog: pytest.LogCaptureFixture) -> None:
    secret = wrap(Revealed(TEXT))
    logging.getLogger("test").error("%s %r", secret, secret)
    shown = f"{secret} {secret!r} {secret!s}" + caplog.text
    assert "<revealed>" in shown
    assert TEXT not in shown
    for write in (
        orjson.dumps,
        json.dumps,
        pickle.dumps,
        copy.deepcopy,
        copy.copy if isinstance(secret, Revealed) else pickle.dumps,
    ):
        with pytest.raises(TypeError) as refused:
            write(secret)
        assert TEXT not in str(refused.value)
    with pytest.raises(PydanticSerializationError) as unwritten:
        Anything(value=secret).model_dump_json()
    assert TEXT not in str(unwritten.value)


@pytest.mark.parametrize("kind", [Sealed, Revealed, Sealed | None])
@pytest.mark.parametrize(
    ("base", "options"), [(Input, {}), (Output, {}), (Event, {"type": "test.secret", "channel": "c"})]
)
def test_no_input_output_or_event_holds_one(
    base: Any, options: dict[str, str], kind: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("resolvers.kernel.declarations.events.EVENTS", {})
    with pytest.raises((TypeError, RuntimeError), match=r"Sealed|Revealed"):
        type("Holder", (base,), {"__annotations__": {"value": kind}, "__module__": __name__}, **options)


def test_a_sealed_one_is_no_text_and_no_json(safe: Any) -> None:
    sealed = sealed_before(TEXT, **place(safe), key=OLD)
    row = safe(name="a", value=sealed)
    assert f"{sealed} {sealed!r} {sealed:s}{row}" == f"<sealed> <sealed> <sealed>{row}"
    assert "value=<sealed>" in repr(row)
    for write in (orjson.dumps, json.dumps):
        with pytest.raises(TypeError):
            write({"value": sealed})
    with pytest.raises(PydanticSerializationError):
        row.model_dump_json()
    with pytest.raises(UnicodeDecodeError):
        sealed.decode()


@pytest.mark.parametrize("value", [TEXT, b"plain", b"\xff\x01\x01plain", 1])
def test_a_row_takes_only_what_was_sealed(safe: Any, value: Any) -> None:
    with pytest.raises(TypeError, match=r"Safe.value holds secrets") as refused:
        safe(name="a", value=value)
    assert str(value) not in str(refused.value)
    assert safe(name="a").value is None


async def test_what_is_opened_is_known_to_whoever_redacts(safe: Any) -> None:
    vault, known, other = vault_of(KeysInMemory()), list[str](), list[str]()

    async def sealed(text: str) -> Sealed:
        return await vault.seal(text, **place(safe), workspace_id=HERE)

    first = await sealed(TEXT)
    with told_of_secrets(known.append):
        with told_of_secrets(other.append):
            await vault.open(first, **place(safe))
        await vault.open(await sealed("second"), **place(safe))
    await vault.open(await sealed("later"), **place(safe))
    assert known == [TEXT, "second"]
    assert other == [TEXT]
    assert TEXT not in Redactor(known).redact(f"the key is {TEXT}.")
