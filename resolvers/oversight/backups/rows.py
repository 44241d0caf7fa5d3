"""Rows on their way from a bundle into tables: lines of COPY's text format, field by field.

A restore beside the source gives every row a new id. The new id is computed from the old one, so that every reference
follows, declared or not, and no table of ids is needed: each text that is exactly an id is replaced, also in JSON.
Ids of people and of skills stay, which belong to the instance.
"""

import hashlib
import hmac
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from sqlalchemy import Column, String
from sqlalchemy import Text as SQLText
from sqlmodel import AutoString, SQLModel

from models.base import place_in, secrets_of, table_of
from models.people.workspaces import Membership, Role
from models.personal_data import AUTHOR, BY, WHOSE, of_column
from models.staff.crews import Crew, CrewMember
from models.staff.runs import Run
from resolvers.instance.bundles.faults import BundleError, BundleFault
from resolvers.instance.data_keys import DataKey
from resolvers.instance.vault import Unopenable, Vault
from resolvers.kernel import outranks
from resolvers.kernel.store.copying import NULL
from resolvers.oversight.backups.naming import NO_ROWS, SHARED, CrewNames
from resolvers.oversight.backups.tables import COMPOSED, ENDED, FRESH, is_json

ID: Final = rb"c[0-9a-f]{24}|(?:msg_[0-9]{10,20}|msg|ap|nch|cc|cp|wt|kpr_[a-z_]{1,40}|m|mp|mv)_[0-9a-f]{12,32}"
"""The ids that the service makes. Those that clients choose are keys together with their workspace."""
_WHOLE: Final = re.compile(ID)
_IN_JSON: Final = re.compile(rb'"(' + ID + rb')"')
_AT_END: Final = re.compile(rb"(?<=_)(?:" + ID + rb")\Z")
_OF_A_ROW: Final = re.compile(rb"c[0-9a-f]{24}")
LEAST: Final = 12  # digits that are chosen at random
_DIGITS: Final = re.compile(rb"[0-9a-f]+\Z")
BYTES: Final = b"\\\\x"
Field = Callable[[bytes, "list[bytes]"], bytes | None]
"""A field as it is landed; None: the row is left out."""


@dataclass(slots=True)
class Passage:
    """Where the rows of a bundle go. `copies`: under new ids. `people`, `skills`, `flags`: their ids here,
    by their ids in the bundle. `same`: rows of the workspace that are taken in place of rows of a crew's bundle.
    """

    source: str
    target: str
    copies: bool
    caller: str
    role: Role
    owners: frozenset[str]
    now: bytes
    people: dict[bytes, bytes] = field(default_factory=dict)
    skills: dict[bytes, bytes] = field(default_factory=dict)
    flags: frozenset[bytes] = frozenset()
    keys: Mapping[str, DataKey] = field(default_factory=dict)
    key: DataKey | None = None
    vault: Vault | None = None
    names: CrewNames | None = None
    same: dict[bytes, bytes] = field(default_factory=dict)
    _seed: bytes = field(default_factory=lambda: os.urandom(32))
    _odd: dict[bytes, bytes] = field(default_factory=dict)

    def renamed(self, id: bytes) -> bytes:
        """The new id of a row, of the same form."""
        if (same := self.same.get(id)) is not None:
            return same
        if id == self.source.encode():
            return self.target.encode()
        if not self.copies or id in self.skills:
            return id
        if (known := self.people.get(id)) is not None:
            return known
        return self.renewed(id)

    def renewed(self, text: bytes) -> bytes:
        """An id keeps its prefix and its length; of another text, the hexadecimal digits at its end are new, or all of
        it where a few digits would leave too little choice.
        """
        if _OF_A_ROW.fullmatch(text):  # its prefix is a digit, too
            return self.fresh(text)
        made = hmac.digest(self._seed, text, hashlib.sha256).hex().encode()
        digits = _DIGITS.search(text)
        if digits is None or len(digits[0]) < LEAST:
            return made[:24]
        return text[: digits.start()] + made[: len(digits[0])]

    def named(self, value: bytes) -> bytes:
        """A field that may be an id."""
        if value in self.same:
            return self.same[value]
        if _WHOLE.fullmatch(value):
            return self.renamed(value)
        return self._odd.get(value, value) if self._odd else value

    def odd(self, id: bytes) -> bytes:
        """The key of a row that is unique on the instance: one that was not made by the service is remembered, since
        nothing else shows that it is an id.
        """
        if not self.copies or _WHOLE.fullmatch(id):
            return self.renamed(id)
        digits = _DIGITS.search(id)  # a few would leave too little choice
        self._odd[id] = self.renewed(id) if digits is not None and len(digits[0]) >= LEAST else self.fresh(id)
        return self._odd[id]

    def same_as(self, id: bytes, here: bytes | None) -> bytes:
        """The id of a row from now on; `here`: of the row of the workspace that is taken in place of it."""
        if here is not None:
            self.same[id] = here
        return self.named(id)

    def fresh(self, text: bytes) -> bytes:
        return b"c" + hmac.digest(self._seed, text, hashlib.sha256).hex().encode()[:24]

    def path(self, names: tuple[str, ...]) -> tuple[str, ...]:
        """The path of a file, of which folders are named by ids. Raises BundleError."""
        names = names if self.names is None else self.names.path(names)
        return tuple(self.named(name.encode()).decode() for name in names)


def fields_of(content: bytes, width: int) -> list[list[bytes]]:
    """The lines of an entry. Raises BundleError for what are no lines of the table."""
    rows = [line.split(b"\t") for line in content.split(b"\n")[:-1]]
    try:
        content.decode()
    except ValueError as error:
        raise BundleError(BundleFault.invalid_checksum, NO_ROWS) from error
    if any(len(row) != width for row in rows):
        raise BundleError(BundleFault.invalid_checksum, NO_ROWS)
    return rows


class Lines:
    """The lines of one table. Raises BundleError if a line does not fit the table or its secret cannot be opened."""

    def __init__(self, passage: Passage, model: type[SQLModel], columns: list[str]) -> None:
        table = table_of(model)
        self._passage, self._width = passage, len(columns)
        self._fields = [
            (place, made, _fills(passage, model, name))
            for place, name in enumerate(columns)
            if (made := _field(passage, model, table.c[name], columns)) is not None
        ]

    def of(self, content: bytes) -> bytes:
        """An entry of a bundle, which has whole lines."""
        try:
            rows = fields_of(content, self._width)
            return b"".join([landed for row in rows if (landed := self._line(row)) is not None])
        except Unopenable as error:
            raise BundleError(BundleFault.decryption, str(error)) from error
        except ValueError as error:
            raise BundleError(BundleFault.invalid_checksum, NO_ROWS) from error

    def _line(self, old: list[bytes]) -> bytes | None:
        new = list(old)
        for place, change, fills in self._fields:
            if fills or old[place] != NULL:
                value = change(old[place], old)
                if value is None:
                    return None
                new[place] = value
        return b"\t".join(new) + b"\n"


def _field(passage: Passage, model: type[SQLModel], column: Column[object], columns: list[str]) -> Field | None:
    """The change of a column's values; None if they stay."""
    table, name = table_of(model), column.name
    if name == place_in(table):
        return partial(_constant, passage.target.encode())
    if passage.names is not None and (named := passage.names.field(str(table.name), name, columns)) is not None:
        return named
    if model is CrewMember and name == "role":
        return partial(_crew_role, passage)
    if model is Membership and name in ("role", "accepted_at"):
        return partial(_membership, passage, name, columns.index("user_id"))
    referred = {key.column.table.name for key in column.foreign_keys}
    if "users" in referred:
        return partial(_reference, passage.people, bool(column.nullable))
    if "skills" in referred:
        return partial(_reference, passage.skills, bool(column.nullable))
    if "feature_flags" in referred:
        return partial(_reference, {flag: flag for flag in passage.flags}, bool(column.nullable))
    if name in ENDED.get(table.name, {}):
        return partial(_ended, {k.encode(): v.encode() for k, v in ENDED[table.name][name].items()})
    if model is Run and name in _OF_LIVE_RUNS:
        return partial(_of_run, passage, name, columns.index("status"))
    if not passage.copies:
        if passage.names is not None and referred & SHARED.keys():
            return partial(_text, passage)
        return partial(_person, passage) if of_column(column) in (WHOSE, BY, AUTHOR) else None
    if name in secrets_of(model):
        return partial(_secret, passage, model, name, columns.index("id"))
    if (table.name, name) in FRESH:
        return partial(_fresh, passage)
    if (table.name, name) in COMPOSED:
        return partial(_composed, passage)
    if name == "id" and place_in(table) not in {c.name for c in table.primary_key.columns}:
        return partial(_key, passage)
    if is_json(column):
        return partial(_json, passage)
    return partial(_text, passage) if isinstance(column.type, String | SQLText | AutoString) else None


_OF_LIVE_RUNS: Final = frozenset({"finished_at", "leased_until", "worker", "waits_for", "waits_since"})


def _fills(passage: Passage, model: type[SQLModel], column: str) -> bool:
    """Returns true if a field that is null may become another value."""
    if model is Crew and column == "issue_prefix":
        return passage.names is not None
    return (model is Membership and column == "accepted_at") or (model is Run and column == "finished_at")


def _constant(value: bytes, _: bytes, __: list[bytes]) -> bytes:
    return value


def _reference(known: Mapping[bytes, bytes], nullable: bool, value: bytes, _: list[bytes]) -> bytes | None:
    """To a row of the instance. Where it is not there, the reference is removed, or the row is left out."""
    return known.get(value, NULL if nullable else None)


def _person(passage: Passage, value: bytes, _: list[bytes]) -> bytes:
    return passage.people.get(value, value)


def _ended(states: Mapping[bytes, bytes], value: bytes, _: list[bytes]) -> bytes:
    return states.get(value, value)


def _fresh(passage: Passage, value: bytes, _: list[bytes]) -> bytes:
    return passage.renewed(value)


def _key(passage: Passage, value: bytes, _: list[bytes]) -> bytes:
    return passage.odd(value)


def _composed(passage: Passage, value: bytes, _: list[bytes]) -> bytes:
    return _AT_END.sub(lambda found: passage.renamed(found[0]), value)


def _text(passage: Passage, value: bytes, _: list[bytes]) -> bytes:
    return passage.named(value)


def _json(passage: Passage, value: bytes, _: list[bytes]) -> bytes:
    return _IN_JSON.sub(lambda found: b'"' + passage.renamed(found[1]) + b'"', value)


def _secret(
    passage: Passage, model: type[SQLModel], column: str, place_of_id: int, value: bytes, line: list[bytes]
) -> bytes:
    assert passage.vault is not None
    assert passage.key is not None
    row_id = line[place_of_id]
    sealed = passage.vault.moved(
        bytes.fromhex(value.removeprefix(BYTES).decode()),
        passage.keys,
        passage.key,
        table=model,
        column=column,
        row_id=row_id.decode(),
        new_id=passage.odd(row_id).decode(),
    )
    return BYTES + sealed.hex().encode()


def _crew_role(passage: Passage, value: bytes, _: list[bytes]) -> bytes:
    """No role in a crew is higher than that of the caller, who could give no higher one."""
    return passage.role.value.encode() if outranks(Role(value.decode()), passage.role) else value


def _of_run(passage: Passage, name: str, place_of_status: int, value: bytes, line: list[bytes]) -> bytes:
    """No worker holds a run of a bundle, and none waits."""
    if line[place_of_status] != b"RUNNING":
        return passage.named(value)
    return passage.now if name == "finished_at" else NULL


def _membership(passage: Passage, name: str, place_of_user: int, value: bytes, line: list[bytes]) -> bytes:
    """Limits a role to what the caller could give, and accepts the membership of the caller alone (see ADR 118)."""
    user = passage.people.get(line[place_of_user], b"").decode()
    if name == "accepted_at":
        return passage.now if user == passage.caller else NULL
    role = Role(value.decode())
    if user == passage.caller:
        return passage.role.value.encode()
    return value if user in passage.owners or not outranks(role, passage.role) else passage.role.value.encode()
