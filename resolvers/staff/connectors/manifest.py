"""Connectors: a form, the values made of it, and the MCP server that they are for.

A manifest is a file of this package. `manifest.schema.json` beside it is the JSON Schema of these classes; the
validators here check the rules that a schema cannot express (contract: connectors, manifest_rules).
"""

import re
from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated, Any, Final, Self

from pydantic import Field, model_validator

from models import bounds
from models.resources.integrations import Transport
from resolvers.kernel import Absent, Output
from resolvers.staff.connectors import placeholders

ID: Final = r"^[a-z][a-z0-9_-]*$"
KEY: Final = r"^[a-z][a-z0-9_]*$"
COLOR: Final = r"^(#[0-9A-Fa-f]{6})?$"
METHOD: Final = r"^[A-Z]{3,7}$"
STATUS: Final = 200

ShortText = Annotated[str, Field(min_length=1, max_length=bounds.LINE)]
LongText = Annotated[str, Field(min_length=1, max_length=bounds.NOTES)]
Template = Annotated[str, Field(min_length=1, max_length=bounds.URL)]
Templates = Annotated[dict[str, Template], Field(max_length=bounds.ENTRIES)]


class AuthMode(StrEnum):
    """The credential of a user."""

    mcp_oauth = "mcp_oauth"
    pat = "pat"
    conn_string = "conn_string"
    byo_oauth = "byo_oauth"
    none = "none"


class ConnectorFieldType(StrEnum):
    """The input type of a form field."""

    text = "text"
    password = "password"
    number = "number"
    select = "select"
    bool = "bool"


class Brand(Output):
    """`logo` is the key of an icon, `color` #RRGGBB or empty."""

    logo: ShortText
    color: Annotated[str, Field(pattern=COLOR)]


class ConnectorField(Output):
    """A field of a connector's form."""

    key: Annotated[str, Field(pattern=KEY, max_length=bounds.SLUG)]
    label: ShortText
    type: ConnectorFieldType
    required: bool
    default: Annotated[ShortText | None, Absent()] = None
    placeholder: Annotated[ShortText | None, Absent()] = None
    help: Annotated[LongText | None, Absent()] = None
    choices: Annotated[list[ShortText] | None, Absent()] = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.type is ConnectorFieldType.select) != bool(self.choices):
            raise ValueError("only a select has choices, and it requires them")
        if self.choices and self.default is not None and self.default not in self.choices:
            raise ValueError("the default is not among the choices")
        return self


class ConnectorOAuth(Output):
    """The authorization server, if users bring their own client."""

    authorization_url: Template
    token_url: Template
    scopes: list[ShortText]
    pkce: bool


class ConnectorMcp(Output):
    """The MCP server: a command or an address. Texts can contain placeholders."""

    transport: Transport
    command: Annotated[Template | None, Absent()] = None
    args: Annotated[list[Template] | None, Absent()] = None
    endpoint: Annotated[Template | None, Absent()] = None
    env: Annotated[Templates | None, Absent()] = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        needed, other = ("command", "endpoint") if self.transport is Transport.stdio else ("endpoint", "command")
        if getattr(self, needed) is None or getattr(self, other) is not None:
            raise ValueError(f"{self.transport} requires {needed} and excludes {other}")
        return self


class VerifyHttp(Output):
    """The request that tests the values. A status of 0 means 200."""

    method: Annotated[str, Field(pattern=METHOD)] = "GET"
    url: Template
    headers: Annotated[Templates | None, Absent()] = None
    expect_status: Annotated[int, Field(ge=0, le=599)] = STATUS


class Verify(Output):
    """The test of the values: a request, or a method of the MCP server."""

    http: Annotated[VerifyHttp | None, Absent()] = None
    mcp_method: Annotated[ShortText | None, Absent()] = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.http is None) == (self.mcp_method is None):
            raise ValueError("verify takes http or mcp_method, not both")
        return self


class ConnectorDocs(Output):
    """Setup instructions, as Markdown."""

    setup_md: LongText


class Connector(Output):
    """A service that agents can use, as described by its manifest. `fields` is null if the form is empty."""

    id: Annotated[str, Field(pattern=ID, max_length=bounds.SLUG)]
    name: ShortText
    description: ShortText
    brand: Brand
    category: Annotated[str, Field(pattern=KEY, max_length=bounds.SLUG)]
    auth_mode: AuthMode
    fields: Annotated[list[ConnectorField] | None, Absent()] = None
    oauth: Annotated[ConnectorOAuth | None, Absent()] = None
    mcp: ConnectorMcp
    derived: Annotated[Templates | None, Absent()] = None
    verify: Annotated[Verify | None, Absent()] = None
    docs: Annotated[ConnectorDocs | None, Absent()] = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        keys = [field.key for field in self.fields or ()]
        if self.fields == [] or len(set(keys)) < len(keys):
            raise ValueError("fields: each key once, and no empty list")
        if any(re.fullmatch(KEY, name) is None for name in self.derived or ()):
            raise ValueError("derived: a name is in lower case")
        placeholders.check(self.templates(), keys, self.derived or {})
        self._check_auth_mode(keys)
        return self

    def _check_auth_mode(self, keys: list[str]) -> None:
        asked = {field.type for field in self.fields or ()}
        needs: dict[AuthMode, tuple[bool, str]] = {
            AuthMode.mcp_oauth: (self.mcp.transport is Transport.streamable_http, "streamable-http"),
            AuthMode.pat: (ConnectorFieldType.password in asked, "a password field"),
            AuthMode.conn_string: (bool(keys), "a field"),
            AuthMode.byo_oauth: (
                self.oauth is not None and {"client_id", "client_secret"} <= set(keys),
                "oauth, and the fields client_id and client_secret",
            ),
        }
        fulfilled, what = needs.get(self.auth_mode, (True, ""))
        if not fulfilled:
            raise ValueError(f"auth_mode {self.auth_mode} needs {what}")

    def templates(self) -> Iterator[str]:
        """All texts that may have placeholders, but the derived ones."""
        yield from filter(None, (self.mcp.command, self.mcp.endpoint))
        yield from self.mcp.args or ()
        yield from (self.mcp.env or {}).values()
        if self.verify is not None and self.verify.http is not None:
            yield self.verify.http.url
            yield from (self.verify.http.headers or {}).values()


class ConnectorListItem(Output):
    """A connector in the catalog."""

    id: str
    name: str
    description: str
    category: str
    auth_mode: AuthMode
    brand_logo: str
    brand_color: str


def json_schema() -> dict[str, Any]:
    """The schema of a manifest file, for editors and authors."""
    draft = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Connector manifest"}
    return draft | {key: value for key, value in Connector.model_json_schema().items() if key != "title"}
