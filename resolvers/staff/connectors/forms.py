"""The values of a filled-in form, and the texts made of them: to use at once, or to store, without secrets."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Final

from pydantic import Field

from models import bounds
from resolvers.kernel import Code, Refusal, at_most
from resolvers.staff.connectors import placeholders
from resolvers.staff.connectors.manifest import Connector, ConnectorField, ConnectorFieldType

MOST_FIELDS: Final = 100
Values = Annotated[
    dict[
        Annotated[str, Field(strict=True, max_length=bounds.SLUG)],
        Annotated[str, Field(strict=True, max_length=bounds.PROMPT)],
    ],
    at_most(MOST_FIELDS),
]


def given(connector: Connector, sent: Mapping[str, str]) -> dict[str, str]:
    """The fields that were filled in, trimmed. A blank one was not; what the form does not ask for is left out."""
    trimmed = {field.key: sent.get(field.key, "").strip() for field in connector.fields or ()}
    return {key: value for key, value in trimmed.items() if value}


def complete(connector: Connector, values: Mapping[str, str], *, defaults: bool) -> dict[str, str]:
    """A value for every field, or BAD_REQUEST. `defaults`: they replace missing values."""
    made, missing = dict[str, str](), dict[str, str]()
    for field in connector.fields or ():
        value = values.get(field.key) or (field.default if defaults else None) or ""
        if not value and field.required:
            missing[field.key] = "is required"
        made[field.key] = value
    if missing:
        raise Refusal(Code.BAD_REQUEST, f"{', '.join(missing)}: required", fields=missing)
    return made


@dataclass(frozen=True, slots=True)
class Filling:
    """Fills in the texts of a connector. No value is read for placeholders."""

    connector: Connector
    values: Mapping[str, str]
    instance_url: str

    def text(self, template: str) -> str:
        return placeholders.filled(template, self._value)

    def _value(self, name: str) -> str:
        if name == placeholders.INSTANCE_URL:
            return self.instance_url
        if name.startswith(placeholders.FIELD):
            return self.values[name.removeprefix(placeholders.FIELD)]
        return self.text((self.connector.derived or {})[name.removeprefix(placeholders.DERIVED)])


def referring(connector: Connector, values: Mapping[str, str], name_of: Callable[[str], str]) -> dict[str, str]:
    """The values, with `${NAME}` for those that are stored as credentials and never shown: passwords, and values that
    could be taken for such a reference.
    """
    hidden = {field.key for field in connector.fields or () if _is_hidden(field, values.get(field.key, ""))}
    return {key: f"${{{variable(name_of(key))}}}" if key in hidden else value for key, value in values.items()}


def _is_hidden(field: ConnectorField, value: str) -> bool:
    return bool(value) and (field.type is ConnectorFieldType.password or "${" in value)


def variable(credential: str) -> str:
    """The name by which texts refer to a credential (contract: integrations, runtime)."""
    return re.sub(r"[^A-Z0-9]", "_", credential.upper())
