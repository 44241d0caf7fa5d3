"""Sealed and opened secrets: what they are bound to, and what never shows them."""

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

from models.labels import Label
from models.sealed import SEAL, Sealed
from resolvers.instance.vault import Revealed, Unopenable, Vault, told_of_secrets
from resolvers.kernel.events import Event
from resolvers.kernel.inputs import Input
from resolvers.kernel.outputs import Output
from resolvers.rules.redaction import Redactor
from tests.kernel.safe import table_of_secrets

TEXT = "ghp_pässwörd 🔑"
OLD, NEW = b"\x01" * 32, b"\x02" * 32


@pytest.fixture(scope="module")
def safe() -> Iterator[Any]:
    with table_of_secrets() as made:
        yield made


def place(safe: Any, row_id: str = "c1") -> dict[str, Any]:
    return {"table": safe, "column": "value", "row_id": row_id}


def test_what_is_sealed_opens_where_it_belongs(safe: Any) -> None:
    vault = Vault({1: OLD})
    one, two = (vault.seal(TEXT, **place(safe)) for _ in range(2))
    assert one != two
    assert bytes(TEXT, "utf-8") not in one
    assert len(one) <= len(TEXT.encode()) + SEAL
    assert vault.open(one, **place(safe)).reveal() == TEXT
    assert vault.open(vault.seal("", **place(safe)), **place(safe)).reveal() == ""


def test_the_format_is_what_the_module_says(safe: Any) -> None:
    sealed = bytes(Vault({2: NEW, 1: OLD}).seal(TEXT, **place(safe)))
    assert sealed[:3] == b"\xff\x01\x02"
    associated = sealed[:3] + b"safes\0value\0c1"
    assert AESGCM(NEW).decrypt(sealed[3:19], sealed[19:], associated).decode() == TEXT


def test_the_first_key_seals_and_each_opens(safe: Any) -> None:
    before, after = Vault({1: OLD}), Vault({2: NEW, 1: OLD})
    assert after.open(before.seal(TEXT, **place(safe)), **place(safe)).reveal() == TEXT
    sealed = after.seal(TEXT, **place(safe))
    with pytest.raises(Unopenable):
        before.open(sealed, **place(safe))
    assert Vault({2: NEW}).open(sealed, **place(safe)).reveal() == TEXT
    with pytest.raises(Unopenable):
        Vault({2: OLD}).open(sealed, **place(safe))


def test_nothing_opens_anywhere_else_or_changed(safe: Any) -> None:
    vault = Vault({1: OLD})
    sealed = vault.seal(TEXT, **place(safe))
    changed = [bytes([*sealed[:at], sealed[at] ^ 1, *sealed[at + 1 :]]) for at in range(len(sealed))]
    for text in [*changed, sealed[:-1], sealed[:19], sealed[:3], sealed[:1], b"", sealed + b"x"]:
        with pytest.raises(Unopenable) as refused:
            vault.open(Sealed(text), **place(safe))
        assert TEXT not in str(refused.value)
    with pytest.raises(Unopenable):
        vault.open(sealed, **place(safe, "c2"))


def test_a_place_is_a_column_of_secrets(safe: Any) -> None:
    vault = Vault({1: OLD})
    for table, column in ((safe, "name"), (safe, "nothing"), (Label, "name")):
        with pytest.raises(TypeError, match="no column of secrets"):
            vault.seal(TEXT, table=table, column=column, row_id="c1")
    with pytest.raises(RuntimeError, match="keys"):
        Vault({})


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
    monkeypatch.setattr("resolvers.kernel.events.EVENTS", {})
    with pytest.raises((TypeError, RuntimeError), match=r"Sealed|Revealed"):
        type("Holder", (base,), {"__annotations__": {"value": kind}, "__module__": __name__}, **options)


def test_a_sealed_one_is_no_text_and_no_json(safe: Any) -> None:
    sealed = Vault({1: OLD}).seal(TEXT, **place(safe))
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


def test_what_is_opened_is_known_to_whoever_redacts(safe: Any) -> None:
    vault, known, other = Vault({1: OLD}), list[str](), list[str]()
    sealed = vault.seal(TEXT, **place(safe))
    with told_of_secrets(known.append):
        with told_of_secrets(other.append):
            vault.open(sealed, **place(safe))
        vault.open(vault.seal("second", **place(safe)), **place(safe))
    vault.open(vault.seal("later", **place(safe)), **place(safe))
    assert known == [TEXT, "second"]
    assert other == [TEXT]
    assert TEXT not in Redactor(known).redact(f"the key is {TEXT}.")
