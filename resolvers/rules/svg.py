"""SVG pictures that come from clients: what is not known to be harmless is refused (contract: agents.avatar_store).

The parser is expat, which reads well-formed XML alone. A document type is refused, so that there are no entities.
"""

import re
from typing import Any, Final, NoReturn
from xml.parsers import expat

SVG: Final = "http://www.w3.org/2000/svg"
_RDF: Final = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_NAMESPACES: Final = frozenset({
    "", SVG, _RDF, "http://purl.org/dc/elements/1.1/", "http://purl.org/dc/terms/", "http://creativecommons.org/ns#",
    "http://web.resource.org/cc/", "http://www.w3.org/2001/XMLSchema-instance",
})  # fmt: skip
_ELEMENTS: Final = frozenset({
    "svg", "g", "defs", "mask", "clippath", "path", "rect", "circle", "ellipse", "line", "polygon", "polyline",
    "lineargradient", "radialgradient", "stop", "title", "desc", "metadata", "rdf", "work", "description", "creator",
    "rights", "source", "license",
})  # fmt: skip
_ATTRIBUTES: Final = frozenset({
    "id", "class", "style", "transform", "width", "height", "viewbox", "version", "preserveaspectratio",
    "shape-rendering", "x", "y", "x1", "x2", "y1", "y2", "cx", "cy", "r", "rx", "ry", "d", "points", "offset",
    "opacity", "spreadmethod", "stop-color", "stop-opacity", "type", "about", "resource",
})  # fmt: skip
_FAMILIES: Final = ("fill", "clip", "mask", "stroke", "gradient")
_LINKS: Final = frozenset({"about", "resource", "type"})
_FUNCTIONS: Final = "rgba?|hsla?|matrix|translate[xy]?|scale[xy]?|rotate|skew[xy]|calc"
_PLAIN: Final = r"""[^\\"'@<>(){}:;]*"""
_VALUE: Final = re.compile(
    rf"""{_PLAIN}(?:(?:\burl\(\s*(?:\#[\w.-]+|"\#[\w.-]+"|'\#[\w.-]+')\s*\)|\b(?:{_FUNCTIONS})\([-+*/\w.,%\s]*\)){_PLAIN})*""",
    re.IGNORECASE,
)
_PROPERTY: Final = re.compile(r"\s*-?[a-z]+(?:-[a-z]+)*\s*", re.IGNORECASE)
_LINK: Final = re.compile(r"(?:https?://[^\s\\<>]*|(?:(?:dc|dcterms|xsd?):)?[\w#./-]*)", re.IGNORECASE)
_DEEPEST: Final = 64


class NotAllowed(ValueError):
    """The text says what is not allowed."""


class _Reader:
    """The handlers of one document."""

    def __init__(self) -> None:
        self._depth = 0

    def begin(self, name: str, attributes: dict[str, str]) -> None:
        space, local = _split(name)
        if self._depth == 0 and local != "svg":
            raise NotAllowed("the root must be <svg>")
        self._depth += 1
        if self._depth > _DEEPEST:
            raise NotAllowed("elements are nested too deeply")
        if space not in _NAMESPACES or local not in _ELEMENTS:
            raise NotAllowed(f"the element {_shown(local)} is not allowed")
        for each, value in attributes.items():
            space, attribute = _split(each)
            if space not in _NAMESPACES or not (attribute in _ATTRIBUTES or attribute.startswith(_FAMILIES)):
                raise NotAllowed(f"the attribute {_shown(attribute)} is not allowed")
            if not _fits(attribute, value):
                raise NotAllowed(f"the value of the attribute {_shown(attribute)} is not allowed")

    def end(self, name: str) -> None:
        self._depth -= 1


def _split(name: str) -> tuple[str, str]:
    """The namespace, and the name without regard to case: browsers take documents of HTML so."""
    space, _, local = name.rpartition(" ")
    return space, local.lower()


def _fits(attribute: str, value: str) -> bool:
    if attribute == "style":
        return all(_declares(part) for part in value.split(";"))
    return (_LINK if attribute in _LINKS else _VALUE).fullmatch(value) is not None


def _declares(part: str) -> bool:
    name, _, value = part.partition(":")
    return not part.strip() or (_PROPERTY.fullmatch(name) is not None and _VALUE.fullmatch(value) is not None)


def _shown(name: str) -> str:
    return name[:40] if name.isprintable() else "of this name"


def _refuses(what: str) -> Any:
    def refuse(*_: Any) -> NoReturn:
        raise NotAllowed(f"{what} are not allowed")

    return refuse


def check_svg(text: str) -> None:
    """Raises NotAllowed if the text is not one well-formed picture of allowed elements, attributes and values."""
    parser, reader = expat.ParserCreate("utf-8", " "), _Reader()
    parser.StartElementHandler, parser.EndElementHandler = reader.begin, reader.end
    parser.CommentHandler = _refuses("comments")
    parser.ProcessingInstructionHandler = parser.XmlDeclHandler = _refuses("processing instructions")
    parser.StartDoctypeDeclHandler = _refuses("document types")
    try:
        parser.Parse(text.encode(), True)
    except expat.ExpatError:
        raise NotAllowed("it is not well-formed") from None
    except UnicodeEncodeError:
        raise NotAllowed("it is not text") from None
