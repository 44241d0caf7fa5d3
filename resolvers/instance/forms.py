"""The file in a form (multipart/form-data, RFC 7578), read as it arrives and never held whole."""

import re
from collections import deque
from collections.abc import AsyncIterator
from typing import Final

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from resolvers.errors import Code, Refusal
from resolvers.instance.store import Arriving

NO_FORM: Final = "A form with a file is required (multipart/form-data)"
TOO_LARGE: Final = "The form is too large"
MOST_PARTS: Final = 100
_TOKEN: Final = r"[a-z0-9!#$&^_.+-]{1,127}"
_MEDIA_TYPE: Final = re.compile(f"{_TOKEN}/{_TOKEN}")
_Event = tuple[str, bytes]


class _Parts:
    """The parser's findings in order: `type`, `headers`, `data` and `end` of parts, and the `end of the form`."""

    def __init__(self, boundary: bytes) -> None:
        self.found: deque[_Event] = deque()
        self._name, self._value, self._headers = bytearray(), bytearray(), dict[bytes, bytes]()
        self._parts = 0
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin,
                "on_header_field": lambda data, start, end: self._name.extend(data[start:end]),
                "on_header_value": lambda data, start, end: self._value.extend(data[start:end]),
                "on_header_end": self._header,
                "on_headers_finished": self._begun,
                "on_part_data": lambda data, start, end: self.found.append(("data", data[start:end])),
                "on_part_end": lambda: self.found.append(("end", b"")),
                "on_end": lambda: self.found.append(("end of the form", b"")),
            },
        )

    def _begin(self) -> None:
        self._parts += 1
        self._headers = {}
        if self._parts > MOST_PARTS:
            raise FormParserError("too many parts")

    def _header(self) -> None:
        self._headers[bytes(self._name).lower()] = bytes(self._value)
        self._name.clear()
        self._value.clear()

    def _begun(self) -> None:
        self.found.append(("type", self._headers.get(b"content-type", b"")))
        self.found.append(("headers", self._headers.get(b"content-disposition", b"")))

    def write(self, piece: bytes) -> None:
        if piece:
            self._parser.write(piece)


async def _events(arriving: Arriving, most: int, excess: Code) -> AsyncIterator[_Event]:
    kind, options = parse_options_header(arriving.media_type)
    boundary = options.get(b"boundary", b"")
    if kind != b"multipart/form-data" or not boundary:
        raise Refusal(Code.BAD_REQUEST, NO_FORM)
    size, whole = 0, False
    try:
        parts = _Parts(boundary)
        async for piece in arriving.content:
            size += len(piece)
            if size > most:
                raise Refusal(excess, TOO_LARGE)
            parts.write(piece)
            while parts.found:
                event = parts.found.popleft()
                whole = whole or event[0] == "end of the form"
                yield event
    except FormParserError:
        raise Refusal(Code.BAD_REQUEST, NO_FORM) from None
    if not whole:
        raise Refusal(Code.BAD_REQUEST, NO_FORM)


def _file_name(disposition: bytes, field: str) -> str | None:
    """The file name of the part of that field; None for other parts, and for a part without a file."""
    _, options = parse_options_header(disposition.decode("latin-1"))
    if options.get(b"name") != field.encode() or not options.get(b"filename"):
        return None
    return options[b"filename"].decode("latin-1").encode("latin-1").decode(errors="replace")


def _media_type(said: bytes) -> str:
    """The media type without parameters; empty if it is invalid (RFC 9110, 8.3.1)."""
    named = said.partition(b";")[0].strip().decode("latin-1").lower()
    return named if _MEDIA_TYPE.fullmatch(named) else ""


async def file_in(
    arriving: Arriving, field: str, most: int, *, excess: Code = Code.BAD_REQUEST
) -> tuple[str, Arriving]:
    """The name and content of the file in a form: the first part of that field, with the media type that the client
    declares, if any. `most`: bytes of the whole form; `excess`: the code of a larger one.

    Raises a Refusal, also while the file is read, if the form is incomplete, too large, or has no such file.
    """
    events, said = _events(arriving, most, excess), b""
    async for kind, value in events:
        said = value if kind == "type" else said
        name = _file_name(value, field) if kind == "headers" else None
        if name is not None:
            return name, Arriving(_content(events), most, _media_type(said))
    raise Refusal(Code.BAD_REQUEST, f"The form has no file {field}")


async def _content(events: AsyncIterator[_Event]) -> AsyncIterator[bytes]:
    """The rest of the form is read, too: a form that breaks off brings no file."""
    ours = True
    async for kind, value in events:
        ours = ours and kind != "end"
        if ours and kind == "data":
            yield value
