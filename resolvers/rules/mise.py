"""A crew's `mise_config`: tool versions and variables for mise, as JSON or as a small part of TOML."""

import re
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from models.bounds import ENTRIES
from resolvers.kernel import invalid
from resolvers.rules.config_text import check_size, parse_object, shaped, shown

FIELD: Final = "mise_config"
MAX_BYTES: Final = 10_240

_QUOTED = r'"(?:[^"\\]|\\.)*"'
_LINE = re.compile(
    rf"[ \t]*(?:\[[ \t]*(?:tools|env)[ \t]*\]|(?:[A-Za-z0-9_-]+|{_QUOTED})[ \t]*=[ \t]*{_QUOTED})?[ \t]*(?:#.*)?\r?"
)
_TOOL = re.compile(r"[a-zA-Z0-9-]{1,50}")
_VERSION = re.compile(r"[a-zA-Z0-9.\-]{1,30}")
_VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]*")


class Mise(BaseModel):
    """Tool name -> version, and environment variables."""

    model_config = ConfigDict(strict=True, frozen=True, extra="ignore", defer_build=True)

    tools: Annotated[dict[str, str], Field(max_length=ENTRIES)] | None = None
    env: Annotated[dict[str, str], Field(max_length=ENTRIES)] | None = None

    def check_names(self) -> None:
        """Refuses what must not reach a build's shell; applied when an image is built, not when the text is stored."""
        for tool, version in (self.tools or {}).items():
            if not _TOOL.fullmatch(tool):
                raise invalid(FIELD, f"{shown(tool)} is not a tool's name")
            if not _VERSION.fullmatch(version):
                raise invalid(FIELD, f"{shown(version)} is not a version of {tool}")
        for variable in self.env or {}:
            if not _VARIABLE.fullmatch(variable):
                raise invalid(FIELD, f"{shown(variable)} is not a variable's name")


_ADAPTER = TypeAdapter(Mise)


def check_mise_size(text: str) -> None:
    check_size(text, FIELD, MAX_BYTES)


def is_json(text: str) -> bool:
    return text.lstrip().startswith("{")


def _toml(text: str) -> dict[str, Any]:
    """Every line must fit the limited grammar; then the TOML parser decides about escapes and duplicates, so what
    passes is true TOML.
    """
    for number, line in enumerate(text.split("\n"), 1):
        if not _LINE.fullmatch(line):
            raise invalid(FIELD, f'line {number}: only [tools], [env], comments and key = "value" are allowed')
    import tomllib  # a process that reads no such file does not load it

    try:
        sections = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise invalid(FIELD, f"is not valid TOML ({error})") from None
    if any(isinstance(value, str) for value in sections.values()):
        raise invalid(FIELD, "a key must be below [tools] or [env]")
    return sections


def parse_mise(text: str) -> Mise:
    """The meaning or a refusal (contract: crews.create, mise rule). In JSON nulls and unknown keys do not count."""
    check_mise_size(text)
    return shaped(_ADAPTER, parse_object(text, FIELD) if is_json(text) else _toml(text), FIELD)
