"""The arguments of the tools. Models read the descriptions; the schemas are sent to them unchanged."""

from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

Path = Annotated[str, Field(min_length=1, max_length=4096)]


class Arguments(BaseModel):
    model_config = ConfigDict(extra="forbid", defer_build=True)


class ReadFile(Arguments):
    path: Path = Field(description="The file: relative to your own folder, or absolute below /output")
    offset: int = Field(1, ge=1, le=10_000_000, description="The first line to show, counted from 1")
    limit: int = Field(2000, ge=1, le=10_000, description="How many lines to show at most")


class WriteFile(Arguments):
    path: Path = Field(
        description="The file: relative to your own folder, or absolute below /output. Missing folders are made"
    )
    content: str = Field(max_length=2_000_000, description="The whole new content of the file")


class ListFiles(Arguments):
    path: Path = Field(".", description="The folder: relative to your own folder, or absolute below /output")
    depth: int = Field(1, ge=1, le=16, description="How many levels to show: 1 is the folder alone")


class SearchFiles(Arguments):
    pattern: str = Field(
        min_length=1, max_length=1000, description="What a line has to hold: literal text, unless regex is true"
    )
    path: Path = Field(
        ".", description="The folder or file to search: relative to your own folder, or absolute below /output"
    )
    regex: bool = Field(False, description="Whether pattern is a POSIX extended regular expression (grep -E)")
    ignore_case: bool = Field(False, description="Whether upper and lower case are the same")


class RunCommand(Arguments):
    command: str = Field(min_length=1, max_length=100_000, description="The command line for a shell")
    timeout_seconds: int = Field(120, ge=1, le=1800, description="After how many seconds the command is ended")


@cache
def schema_of(model: type[Arguments]) -> Mapping[str, Any]:
    """The JSON schema without the titles that repeat the names. It is the same object for all runs."""
    return _without_titles(model.model_json_schema())


def _without_titles(schema: dict[str, Any]) -> dict[str, Any]:
    made = {key: value for key, value in schema.items() if key != "title"}
    if "properties" in made:
        made["properties"] = {name: _without_titles(part) for name, part in made["properties"].items()}
    return made
