"""The text of a document as plain values, with the line of each value.

YAML is read by the core schema of YAML 1.2: `off` and `yes` are texts, and a date is one, too. JSON is read as JSON.
Neither may make a small text large: aliases count as often as they are used.
"""

import json
import math
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from models.work.routines.faults import Fault, Found, Path, RefusedRoutine, pointer_of

if TYPE_CHECKING:
    import yaml

MOST_BYTES: Final = 1 << 20
MOST_CHARACTERS: Final = 2 << 20
"""The sum over all texts; an alias counts as often as it is used."""
MOST_VALUES: Final = 50_000
DEEPEST: Final = 40
LARGEST: Final = 2**63 - 1

_NULL: Final = frozenset({"", "~", "null", "Null", "NULL"})
_BOOL: Final = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INT: Final = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT: Final = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_NOT_FINITE: Final = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_SURROGATE: Final = re.compile(r"(\\\\)|\\u[dD][89a-fA-F][0-9a-fA-F]{2}")
_UNPRINTABLE: Final = re.compile(
    "[^\t\n\r\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]"
)
_UNSTORABLE: Final = re.compile("[\0\ud800-\udfff]")

Mark = tuple[int, int]


@dataclass(slots=True)
class Source:
    """`marks` has the line and column of each value by its path, both counted from 1."""

    value: Any = None
    marks: dict[Path, Mark] = field(default_factory=dict)
    faults: list[Found] = field(default_factory=list)

    def locate(self, found: Found) -> Fault:
        """The fault with the place of its value, or of what encloses a value that is absent."""
        path = found.path
        while path and path not in self.marks:
            path = path[:-1]
        line, column = self.marks.get(path, (1, 1))
        return Fault(line, column, pointer_of(found.path), found.text)


def load(text: str | bytes) -> Source:
    """Raises RefusedRoutine for a text that is neither YAML nor JSON, or too large."""
    content = _decoded(text)
    if content.lstrip().startswith("{"):
        read = _json(content)
        if read is not None:
            return read
    source = Source()
    node = _composed(content)
    source.value = _Construction(source).of(node, ()) if node is not None else None
    return source


def of_value(value: Any) -> Source:
    """A document that was part of another one: it has no lines of its own. Its bounds are the same."""
    try:
        text = json.dumps(value)
    except (TypeError, ValueError, RecursionError):
        raise refused("the document is no JSON") from None
    source = load(text)
    source.marks.clear()
    return source


def refused(text: str, line: int = 1, column: int = 1) -> RefusedRoutine:
    return RefusedRoutine([Fault(line, column, "", text)])


def _decoded(text: str | bytes) -> str:
    if len(text) > MOST_BYTES:
        raise refused(f"the document has more than {MOST_BYTES} bytes")
    try:
        content = text.decode() if isinstance(text, bytes) else text
        if len(content.encode()) > MOST_BYTES:
            raise refused(f"the document has more than {MOST_BYTES} bytes")
    except UnicodeError:
        raise refused("the document is no valid UTF-8") from None
    return content.removeprefix("\ufeff")


def _json(content: str) -> Source | None:
    """None for what is no JSON: YAML may begin with a brace, too."""
    # One character for each that YAML does not read, or reads as a line: places stay, and values come from JSON.
    shown = _SURROGATE.sub(lambda found: found[0] if found[1] else r"\u003f", _UNPRINTABLE.sub("?", content))
    node = _composed(shown, quiet=True)
    if node is None:
        return None
    repeated: list[str] = []
    try:
        value = json.loads(content, object_pairs_hook=lambda pairs: _distinct(pairs, repeated))
    except (ValueError, RecursionError):
        return None
    source = Source()
    _Construction(source).of(node, ())
    source.value = value
    source.faults = [found for found in source.faults if found.text == REPEATED and repeated]
    _check_values(value, (), source.faults)
    return source


def _distinct(pairs: list[tuple[str, Any]], repeated: list[str]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        repeated.append("")
    return made


def _check_values(value: Any, path: Path, faults: list[Found]) -> None:
    if isinstance(value, dict):
        for key, entry in value.items():
            if _UNSTORABLE.search(key):
                faults.append(Found(path, "a key contains a NUL or half of a surrogate pair"))
            _check_values(entry, (*path, key), faults)
    elif isinstance(value, list):
        for n, entry in enumerate(value):
            _check_values(entry, (*path, n), faults)
    elif (text := unfit(value)) is not None:
        faults.append(Found(path, text))


def unfit(value: Any) -> str | None:
    """The reason why a scalar cannot be stored."""
    if isinstance(value, str):
        return "contains a NUL or half of a surrogate pair" if _UNSTORABLE.search(value) else None
    if isinstance(value, int):
        return None if abs(value) <= LARGEST else "is a whole number of more than 64 bits"
    if isinstance(value, float):
        return None if math.isfinite(value) else "is no finite number"
    return None


def _composed(content: str, *, quiet: bool = False) -> "yaml.Node | None":
    """None for an empty document, and if `quiet` for one that is no YAML."""
    import yaml  # a process that reads no routine does not load it

    loader = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
    try:
        _check_events(yaml.parse(content, Loader=loader))
        return yaml.compose(content, Loader=loader)
    except yaml.YAMLError as error:
        if quiet:
            return None
        mark = getattr(error, "problem_mark", None)
        reason = getattr(error, "problem", None) or "it cannot be read"
        line, column = (mark.line + 1, mark.column + 1) if mark is not None else (1, 1)
        raise refused(f"the document is no valid YAML: {reason}", line, column) from None
    except (ValueError, RecursionError) as error:
        if isinstance(error, RefusedRoutine):
            raise
        raise refused("the document is no valid YAML") from None


def _check_events(events: Any) -> None:
    """Bounds the tree before it is made."""
    import yaml

    depth = values = documents = 0
    for event in events:
        documents += isinstance(event, yaml.DocumentStartEvent)
        values += isinstance(event, yaml.NodeEvent)
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        line, column = event.start_mark.line + 1, event.start_mark.column + 1
        if documents > 1:
            raise refused("there is a second document", line, column)
        if values > MOST_VALUES:
            raise refused(f"the document has more than {MOST_VALUES} values", line, column)
        if depth > DEEPEST:
            raise refused(f"the document is nested more than {DEEPEST} levels deep", line, column)
        if getattr(event, "tag", None) is not None:
            raise refused("tags of types are not supported", line, column)


REPEATED: Final = "the key is repeated"


class _Construction:
    """Values of nodes, with bounds for what aliases repeat."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._values = self._characters = 0

    def of(self, node: "yaml.Node", path: Path) -> Any:
        import yaml

        self._values += 1
        line, column = node.start_mark.line + 1, node.start_mark.column + 1
        if self._values > MOST_VALUES:
            raise refused(f"the document has more than {MOST_VALUES} values, aliases included", line, column)
        if len(path) > DEEPEST:
            raise refused(f"the document is nested more than {DEEPEST} levels deep", line, column)
        self._source.marks.setdefault(path, (line, column))
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.of(each, (*path, n)) for n, each in enumerate(node.value)]
        if not isinstance(node, yaml.ScalarNode):
            raise refused("the document is no valid YAML", line, column)
        self._characters += len(node.value)
        if self._characters > MOST_CHARACTERS:
            raise refused(f"the document has more than {MOST_CHARACTERS} characters, aliases included", line, column)
        value = node.value if node.style else _scalar(node.value)
        if (text := unfit(value)) is not None:
            self._fault(path, text)
            return None
        return value

    def _mapping(self, node: "yaml.MappingNode", path: Path) -> dict[str, Any]:
        import yaml

        made: dict[str, Any] = {}
        for key_node, value_node in node.value:
            mark = key_node.start_mark.line + 1, key_node.start_mark.column + 1
            key = key_node.value
            if not isinstance(key_node, yaml.ScalarNode) or unfit(key) is not None:
                raise refused("a key must be a text", *mark)
            if key == "<<" and not key_node.style:
                raise refused("merged keys are not supported", *mark)
            if key in made:
                self._source.marks[(*path, key)] = mark
                self._fault((*path, key), REPEATED)
            self._source.marks.setdefault((*path, key), mark)
            made[key] = self.of(value_node, (*path, key))
        return made

    def _fault(self, path: Path, text: str) -> None:
        self._source.faults.append(Found(path, text))


def _scalar(text: str) -> Any:
    """The value of a plain scalar. A number that JSON does not have is one that is not finite."""
    if text in _NULL:
        return None
    if text in _BOOL:
        return _BOOL[text]
    if _INT.fullmatch(text):
        if len(text) > 30:
            return math.inf
        return int(text, 0) if text.startswith(("0o", "0x")) else int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    return math.nan if _NOT_FINITE.fullmatch(text) else text
