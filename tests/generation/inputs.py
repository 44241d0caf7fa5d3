"""A valid raw input of any operation, from its input model, the entities and the recipes."""

import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from models.base import new_id
from resolvers.kernel.declarations.operation import Operation
from resolvers.kernel.ground.inputs import Input, Paging
from rest_compat.http.table import CAMEL, PARAMETER
from tests.generation.domains import ENTITIES, IDS, MODELS, Plot, recipe_of
from tests.generation.recipes import VALUES
from tests.generation.registry import routes_of

PATTERNS = {"slug": re.compile(r"a-z0-9.*_-"), "email": re.compile("@")}
EXAMPLES = {"slug": "example-slug", "email": "new@example.com"}
PAGING = frozenset(Paging.model_fields)


class NoRecipe(LookupError):
    """An operation the generators cannot call: an entity or a recipe is missing."""


def is_reference(op: Operation[Any], name: str) -> bool:
    return (name == "id" or name.endswith(("_id", "_ids"))) and name not in recipe_of(op.name).chosen


def bodyless(op: Operation[Any]) -> set[str]:
    """Fields that travel in the path."""
    return {name for route in routes_of(op) for name in route.parameters}


def schema_of(op: Operation[Any]) -> dict[str, Any]:
    """Shared, so callers must not change it."""
    input: Any = op.input
    return _schema(input)


@cache
def _schema(input: type[Input]) -> dict[str, Any]:
    return input.model_json_schema(by_alias=False)


def fields_of(op: Operation[Any]) -> dict[str, dict[str, Any]]:
    """The fields of the input with their JSON schemas, without null and the window of a list. Shared, so callers must
    not change it.
    """
    input: Any = op.input
    return _fields(input)


@cache
def _fields(input: type[Input]) -> dict[str, dict[str, Any]]:
    schema = _schema(input)
    hidden = PAGING if issubclass(input, Paging) else frozenset[str]()
    return {name: resolved(part, schema) for name, part in schema.get("properties", {}).items() if name not in hidden}


def resolved(part: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    """Without `$ref`, and without the choice of null."""
    if "$ref" in part:
        return resolved(schema["$defs"][part["$ref"].rsplit("/", 1)[1]], schema)
    choices = [c for c in part.get("anyOf", ()) if c.get("type") != "null"]
    return resolved(choices[0], schema) if choices else part


def value_of(name: str, part: dict[str, Any], schema: dict[str, Any]) -> Any:
    """A value the JSON schema allows; the name of the field helps."""
    part = resolved(part, schema)
    if name in VALUES:
        return VALUES[name]
    if "const" in part or "enum" in part:
        return part.get("const", part.get("enum", [None])[0])
    kind = part.get("type")
    if kind == "string":
        return _text(name, part)
    if kind in ("integer", "number"):
        return _number(part)
    if kind == "boolean":
        return True
    if kind == "array":
        size = max(part.get("minItems", 1), 1)
        return [value_of(name.removesuffix("s"), part.get("items", {"type": "string"}), schema) for _ in range(size)]
    if "properties" in part:
        required = part.get("required", ())
        return {n: value_of(n, p, schema) for n, p in part["properties"].items() if n in required}
    return {}


def _number(part: dict[str, Any]) -> Any:
    low = part.get("minimum", part.get("exclusiveMinimum", 0) + 1 if "exclusiveMinimum" in part else 1)
    return min(max(low, 1), part.get("maximum", max(low, 1)))


def _text(name: str, part: dict[str, Any]) -> str:
    if part.get("format") == "date-time":
        return "2030-01-01T00:00:00Z"
    if "pattern" in part:
        known = next((kind for kind, found in PATTERNS.items() if found.search(part["pattern"])), None)
        if known is None:
            raise NoRecipe(
                f"no text for the field {name} with the pattern {part['pattern']}: add it to the domain's cases.py"
            )
        return EXAMPLES[known]
    text = f"example {name}".ljust(part.get("minLength", 0), "x")
    return text[: part.get("maxLength", len(text))]


# ---- references ------------------------------------------------------------------------------------------------------


def _singular(word: str) -> str:
    return word[:-3] + "y" if word.endswith("ies") else word.removesuffix("s")


def _snake(written: str) -> str:
    return CAMEL.sub(lambda m: "_" + m.group(1).lower(), written)


def entity_of(op: Operation[Any], field: str) -> str:
    """The key of the entity that a field names."""
    named = recipe_of(op.name).ids.get(field)
    if named is not None:
        return named
    if field != "id":
        found = _by_name(field) or _by_prefix(op.name, field.removesuffix("_ids").removesuffix("_id"))
    else:
        routed = [
            _snake(p)
            for route in routes_of(op)
            for p, f in zip(PARAMETER.findall(route.path), route.parameters, strict=True)
            if f == "id"
        ]
        found = next((known for c in routed if (known := _by_name(c))), None)
        found = found or _by_prefix(op.name) or _by_model(op.versioned) or _by_model(op.model)
    if found is None:
        raise NoRecipe(f"{op.name}: what does '{field}' name? Add an entity or an id to the domain's cases.py")
    return found


def _by_name(name: str) -> str | None:
    if name in IDS:
        return IDS[name]
    base = name.removesuffix("_ids").removesuffix("_id")
    for key in (base, base.rsplit("_", 1)[-1]):
        if key in ENTITIES or key in ("user", "workspace"):
            return key
    return None


def _by_prefix(name: str, base: str = "") -> str | None:
    """`member_id` of `crews.members.update` is a crew_member, `id` of `labels.update` a label, `id` of
    `auth.cli_token_revoke` a cli_token.
    """
    *prefix, verb = name.split(".")
    words = verb.split("_")
    candidates = [
        "_".join(map(_singular, prefix)),
        *(("_".join(map(_singular, words[:n]))) for n in range(len(words), 0, -1)),
        _singular(prefix[-1]),
    ]
    return next((key for key in candidates if key in ENTITIES and key.endswith(base)), None)


def _by_model(model: Any) -> str | None:
    return next((key for key, known in MODELS.items() if known is model), None)


def row_id(plot: Plot, key: str) -> str:
    return plot.second.user_id if key == "user" else str(plot[key].id)


def references(op: Operation[Any]) -> dict[str, str]:
    """Field -> entity, for every field that names rows."""
    return {name: entity_of(op, name) for name in fields_of(op) if is_reference(op, name)}


# ---- the input -------------------------------------------------------------------------------------------------------


def valid(op: Operation[Any], world: Any, plot: Plot | None = None, *also: str) -> dict[str, Any]:
    """The required fields, the recipe's, and `also`; a command that requires only ids gets one field to work on."""
    plot, schema, fields, recipe = plot or world.home, schema_of(op), fields_of(op), recipe_of(op.name)
    wanted = [name for name in fields if name in schema.get("required", ()) or name in recipe.values or name in also]
    if op.kind == "command" and not any(not is_reference(op, name) for name in wanted):
        wanted += [name for name, part in fields.items() if not is_reference(op, name) and "properties" not in part][:1]
    made: dict[str, Any] = {}
    for name in wanted:
        if name in recipe.values:
            value = recipe.values[name]
            made[name] = value(world) if callable(value) else value
        elif is_reference(op, name):
            id = row_id(plot, entity_of(op, name))
            made[name] = [id] if fields[name].get("type") == "array" else id
        else:
            made[name] = value_of(name, fields[name], schema)
    return made


def variants(op: Operation[Any], world: Any, plot: Plot, *also: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Valid inputs: with each value of each closed set, and with each row of the plot that a required id may name.
    `also`: values that no closed set holds.
    """
    raw = valid(op, world, plot)
    yield raw
    yield from (raw | dict(more) for more in also)
    for name, part in fields_of(op).items():
        inner = resolved(part.get("items", {}), schema_of(op)) if part.get("type") == "array" else part
        if is_reference(op, name):
            model = MODELS.get(entity_of(op, name)) if name in raw else None
            yield from (with_ids(op, raw, name, row.id) for row in plot.rows.values() if type(row) is model)  # type: ignore[attr-defined]
        elif name == "identifier":
            issues = [row for row in plot.rows.values() if getattr(row, "identifier", None)]
            yield from (raw | {name: row.identifier} for row in issues)  # type: ignore[attr-defined]
        elif "enum" in inner:
            yield from (raw | {name: value if inner is part else [value]} for value in inner["enum"])
        elif part.get("type") == "boolean":
            yield from (raw | {name: value} for value in (True, False))


def with_ids(op: Operation[Any], raw: dict[str, Any], field: str, id: str) -> dict[str, Any]:
    """The same input with another row named in `field`."""
    return raw | {field: [id] if fields_of(op)[field].get("type") == "array" else id}


def unknown_id(known: str) -> str:
    """An id of the same form that no row has."""
    if known.startswith("c") and "_" not in known:
        return new_id()
    return (
        known[:-8] + "".join(reversed(known[-8:]))
        if known[-8:] != known[:-9:-1]
        else known[:-1] + ("0" if known[-1] != "0" else "1")
    )
