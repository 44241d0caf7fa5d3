"""The contract's notation of JSON shapes, read and held against answers.

`str?` may be null, `key~` may be absent, `[T]` is a list, `{…}` an object, `{"*": T}` and `{STATUS: T}` a map; a name
is an object or an enum of this file, or of another as `file.Name`. Any other single word is the literal itself. What is
prose is compared on presence only, and listed in `PROSE`.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

FILES = Path(__file__).parent / "files"
PROSE: dict[str, set[str]] = {}
"""Place -> notations that this parser does not understand."""

Check = Callable[[Any], bool]
SCALARS: dict[str, Check] = {
    "cuid": lambda v: isinstance(v, str) and re.fullmatch(r"c[a-z0-9]{19,}", v) is not None,
    "str": lambda v: isinstance(v, str),
    "int": lambda v: isinstance(v, int) and not isinstance(v, bool),
    "float": lambda v: isinstance(v, (int, float)) and not isinstance(v, bool),
    "bool": lambda v: isinstance(v, bool),
    "id": lambda v: isinstance(v, str),  # of what was deleted (notification_channels.delete)
    "time": lambda v: isinstance(v, str) and re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{3})?Z", v) is not None,
    "json": lambda v: True,
    "object": lambda v: isinstance(v, dict),
}
NOTHING = {"none", "no body", "null", "nothing"}
WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*")
REMARK = re.compile(r"\s*([(,;]|when\b)")  # begins what is said beside a kind


@cache
def documents() -> dict[str, dict[str, Any]]:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as quick, where PyYAML has it
    return {file.stem: yaml.load(file.read_text(), loader) for file in sorted(FILES.glob("*.yaml"))}


def routes() -> Iterator[tuple[str, dict[str, Any]]]:
    for group, document in documents().items():
        for route in document.get("routes") or ():
            yield group, route


@dataclass
class Kind:
    """Says what is wrong with a value: no line, nothing wrong. `exact` is False where prose left something open."""

    faults: Callable[[Any, str], list[str]]
    exact: bool = True


def _named(group: str, name: str) -> tuple[str, str, Any] | None:
    """(file, objects or enums, definition); this file first, then the one other file that has it."""
    if "." in name and name.split(".")[0] in documents():
        group, name = name.split(".", 1)
        places = [group]
    else:
        places = [group, *[g for g in documents() if g != group]]
    for place in places:
        for section in ("objects", "enums"):
            found = (documents()[place].get(section) or {}).get(name)
            if found is not None:
                return place, section, found
    return None


def kind_of(notation: Any, group: str, where: str) -> Kind:
    """The kind behind a notation, as YAML gave it."""
    if isinstance(notation, dict):
        return _object(notation, group, where)
    if isinstance(notation, list):
        return _list(kind_of(notation[0], group, where))
    if not isinstance(notation, str):
        return _literal(notation)
    kind, rest = (
        (_literal(notation), "")
        if notation.startswith("/") and " " not in notation
        else _parse(notation.strip(), group, where)
    )
    if kind is None or re.match(r"\s*or\b", rest):
        PROSE.setdefault(where, set()).add(notation)
        return Kind(lambda value, at: [], exact=False)
    if rest and not REMARK.match(rest):
        PROSE.setdefault(where, set()).add(notation)
        return _loose(kind)
    return kind


def _parse(text: str, group: str, where: str) -> tuple[Kind | None, str]:
    """One kind at the beginning of a text, and what follows it."""
    kind, rest = _simple(text, group, where)
    if kind is None:
        return None, text
    if rest.startswith("?"):
        kind, rest = _nullable(kind), rest[1:]
    if (match := re.match(r"\s+or null\b", rest)) is not None:
        kind, rest = _nullable(kind), rest[match.end() :]
    if (match := re.match(r"\s*(\||or)\s+(?=[\[{A-Z'])", rest)) is not None:
        other, after = _parse(rest[match.end() :], group, where)
        if other is not None:
            return _either(kind, other), after
    if (match := re.match(r",? or (?=\{\})", rest)) is not None:
        return _either(kind, _object({}, group, where)), rest[match.end() + 2 :]
    return kind, rest


def _simple(text: str, group: str, where: str) -> tuple[Kind | None, str]:
    if text[:1] in ("[", "{"):
        end = _closing(text)
        if end is None:
            return None, text
        if text[0] == "[":
            inner, left = _parse(text[1:end].strip(), group, where)
            return (None, text) if inner is None or left.strip() else (_list(inner), text[end + 1 :])
        try:
            value = yaml.safe_load(text[: end + 1])
        except yaml.YAMLError:
            return None, text
        return (None, text) if None in value.values() else (_object(value, group, where), text[end + 1 :])
    match = WORD.match(text)
    if match is None:
        return None, text
    word, rest = match.group().rstrip("."), text[match.end() :]
    if word in SCALARS:
        return _scalar(word), rest
    found = _named(group, word)
    if found is not None:
        place, section, definition = found
        if section == "enums":
            if isinstance(definition, str):  # an open set, described in words
                return _scalar("str"), rest
            return _choice([str(v) for v in definition]), rest
        return kind_of(definition, place, where), rest
    if not rest:
        return _literal(word), rest
    if re.fullmatch(r"([|][A-Za-z_]+)+", rest):
        return _choice([word, *rest[1:].split("|")]), ""
    return None, text


def _closing(text: str) -> int | None:
    depth = 0
    for place, letter in enumerate(text):
        depth += (letter in "[{") - (letter in "]}")
        if depth == 0:
            return place
    return None


def _scalar(name: str) -> Kind:
    return Kind(lambda value, at: [] if SCALARS[name](value) else [f"{at}: {value!r} is no {name}"])


def _literal(expected: Any) -> Kind:
    return Kind(
        lambda value, at: (
            [] if value == expected or str(value) == expected else [f"{at}: {value!r} is not {expected!r}"]
        )
    )


def _choice(values: list[str]) -> Kind:
    return Kind(lambda value, at: [] if value in values else [f"{at}: {value!r} is none of {', '.join(values)}"])


def _nullable(kind: Kind) -> Kind:
    return Kind(lambda value, at: [] if value is None else kind.faults(value, at), kind.exact)


def _either(one: Kind, other: Kind) -> Kind:
    return Kind(lambda value, at: one.faults(value, at) if other.faults(value, at) else [], one.exact and other.exact)


def _loose(kind: Kind) -> Kind:
    """Prose follows: keys may be added."""
    return Kind(
        lambda value, at: [fault for fault in kind.faults(value, at) if not fault.endswith("is not in the contract")],
        exact=False,
    )


def _list(inner: Kind) -> Kind:
    def faults(value: Any, at: str) -> list[str]:
        if not isinstance(value, list):
            return [f"{at}: {value!r} is no list"]
        return [fault for number, item in enumerate(value) for fault in inner.faults(item, f"{at}[{number}]")]

    return Kind(faults, inner.exact)


def _object(definition: dict[str, Any], group: str, where: str) -> Kind:
    if (base := definition.get("extends")) is not None and (found := _named(group, base)) is not None:
        definition = found[2] | {key: kind for key, kind in definition.items() if key != "extends"}
    if definition == {"key": "label"}:  # both stand for any text (metrics.timeseries)
        definition = {"*": "str"}
    if (len(definition) == 1 and next(iter(definition)).isupper()) or set(definition) == {"*"}:
        inner = kind_of(next(iter(definition.values())), group, where)
        return Kind(
            lambda value, at: (
                [f for k, v in value.items() for f in inner.faults(v, f"{at}.{k}")]
                if isinstance(value, dict)
                else [f"{at}: no object"]
            )
        )
    keys: dict[str, tuple[Any, bool]] = {
        str(key).rstrip("~"): (notation, str(key).endswith("~")) for key, notation in definition.items()
    }

    def faults(value: Any, at: str) -> list[str]:
        if not isinstance(value, dict):
            return [f"{at}: {value!r} is no object"]
        found = [f"{at}.{key} is missing" for key, (_, absent) in keys.items() if not absent and key not in value]
        found += [f"{at}.{key} is not in the contract" for key in value if key not in keys]
        for key, (notation, _) in keys.items():
            if key in value:
                found += kind_of(notation, group, f"{where}.{key}").faults(value[key], f"{at}.{key}")
        return found

    return Kind(faults)


def events_of(route: dict[str, Any]) -> list[dict[str, Any]]:
    """The declared events whose type is a name, not prose."""
    given = route.get("emits") or []
    return [
        e
        for e in (given if isinstance(given, list) else [given])
        if isinstance(e, dict) and WORD.fullmatch(str(e.get("type", "")))
    ]


@dataclass(frozen=True)
class Audited:
    """The audit row of a route, as far as its line says it in words of the notation."""

    action: str
    entity: str | None
    keys: tuple[str, ...]
    always: bool


def audit_of(route: dict[str, Any]) -> Audited | None:
    text = str(route.get("audit") or "")
    match = re.match(r"([a-z_]+(?:\.[a-z_]+)*)(?=$|,)", text)
    if match is None:
        return None
    entity, metadata = re.search(r"entity (\w+)", text), re.search(r"metadata \{([^}]*)\}", text)
    keys = [k.strip() for k in metadata.group(1).split(",")] if metadata else []
    always = " only" not in text and " when" not in text
    return Audited(
        match.group(1), entity.group(1) if entity else None, tuple(k for k in keys if WORD.fullmatch(k)), always
    )
