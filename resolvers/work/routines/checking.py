"""The language of routines: its JSON Schema, and the faults of a document."""

from typing import Annotated, Any

from pydantic import Field

from resolvers.kernel import Absent, Action, Context, Input, NoInput, Output, Tenancy, procedure
from resolvers.rules.routine_language import DSL_VERSION, routine_language
from resolvers.work.routines.definitions import DefinitionText, RoutineDefinition, examined
from resolvers.work.routines.save_tokens import issue_save_token


class ValidateRoutine(Input):
    """The definition of a routine, which is not stored."""

    definition: DefinitionText


class RoutineFault(Output):
    """A fault of a document. `line` and `column` count from 1; `pointer` is a JSON pointer, empty for the document."""

    line: int
    column: int
    pointer: str
    text: str


class RoutineCheck(Output):
    """`save_token` lets the same user save the same definition within five minutes. It, the hash and the manifest are
    there if the definition is valid.
    """

    valid: bool
    faults: list[RoutineFault]
    definition_hash: Annotated[str | None, Absent()] = None
    save_token: Annotated[str | None, Absent()] = None
    manifest: Annotated[dict[str, Any] | None, Absent()] = None


class RoutineLanguage(Output):
    """The JSON Schema of documents, in the draft 2020-12. Saving checks more: how the parts of a document fit."""

    dsl_version: str
    json_schema: dict[str, Any] = Field(alias="schema")


@procedure("routines.validate", Action.CREATE, late=True)
async def validate_routine(ctx: Context, data: ValidateRoutine) -> RoutineCheck:
    """Test a definition without saving it.

    Returns all its faults, with their lines. Agents and called routines are looked up when it is saved.
    """
    read = await examined(data.definition)
    if isinstance(read, RoutineDefinition):
        token = issue_save_token(ctx.workspace_id or "", read.hash, ctx.user_id)
        return RoutineCheck(valid=True, faults=[], definition_hash=read.hash, save_token=token, manifest=read.manifest)
    faults = [RoutineFault(line=f.line, column=f.column, pointer=f.pointer, text=f.text) for f in read]
    return RoutineCheck(valid=False, faults=faults)


@procedure("routines.schema", Action.NONE, tenancy=Tenancy.NONE, late=True)
async def routine_schema(ctx: Context, data: NoInput) -> RoutineLanguage:
    """Get the JSON Schema of definitions.

    Editors complete and check documents by it.
    """
    return RoutineLanguage(dsl_version=DSL_VERSION, schema=await routine_language())
