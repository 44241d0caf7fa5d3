"""An edit of a versioned row says from which version a person has begun, on every screen."""

from pathlib import Path

from graphql import (
    FieldNode,
    GraphQLObjectType,
    OperationDefinitionNode,
    OperationType,
    get_named_type,
    parse,
)

from crewship.perimeter import console
from tests.published import published

ROOT = Path(__file__).parents[2]
DELETES = "delete"
"""What is deleted is deleted as it is: the person has confirmed its name, not its content."""
PLACED = {
    "updateAgentIntegration": "on or off: the latest holds",
    "moveIssue": "a place between neighbours, which the server computes from the row as it is",
}
UNVERSIONED = {"setFeatureFlagOverride": "one state of the workspace: the latest holds"}
"""Edits without `ifVersion` that return versioned rows."""


def _mutations() -> list[tuple[str, FieldNode]]:
    """Of the source, and of the forms that the build generates."""
    paths = [path for path in sorted((ROOT / "console").rglob("*.graphql")) if "node_modules" not in path.parts]
    texts = [(str(path.relative_to(ROOT)), path.read_text()) for path in paths]
    texts += [("generated", text) for text in console.documents().values() if text.startswith("mutation Do_")]
    found = []
    for where, text in texts:
        for definition in parse(text).definitions:
            if isinstance(definition, OperationDefinitionNode) and definition.operation is OperationType.MUTATION:
                fields = [each for each in definition.selection_set.selections if isinstance(each, FieldNode)]
                found += [(where, each) for each in fields]
    return found


def test_generated_forms_are_seen() -> None:
    named = {field.name.value for where, field in _mutations() if where == "generated"}
    assert {"updateRunner", "setCrewPersona", "updateMissionTemplate", "allowCredentialOnRunners"} <= named


def test_edits_of_versioned_rows_send_the_version() -> None:
    roots = published().mutation_type
    assert roots is not None
    seen = 0
    silent = []
    for where, field in _mutations():
        name = field.name.value
        if "ifVersion" not in roots.fields[name].args or name.startswith(DELETES) or name in PLACED:
            continue
        seen += 1
        if not any(argument.name.value == "ifVersion" for argument in field.arguments):
            silent.append(f"{where}: {name}")
    assert silent == []
    assert seen > 20


def test_edits_that_take_no_version_are_known() -> None:
    """Settings of one row are edits of it: they compare its version, or `UNVERSIONED` says why not."""
    roots = published().mutation_type
    assert roots is not None
    loose = set()
    for _, field in _mutations():
        name = field.name.value
        returned = get_named_type(roots.fields[name].type)
        versioned = isinstance(returned, GraphQLObjectType) and "version" in returned.fields
        edit = name.startswith(("set", "update", "replace", "change", "rename", "configure"))
        if versioned and edit and "ifVersion" not in roots.fields[name].args:
            loose.add(name)
    assert loose == UNVERSIONED.keys()
