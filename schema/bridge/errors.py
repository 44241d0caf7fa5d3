"""Errors for clients: our refusals completely, the document's faults, nothing else, and a limited number."""

from collections.abc import Iterable
from typing import Any

import orjson
from graphql import GraphQLError

from resolvers.errors import Code, Refusal
from resolvers.instance.telemetry import log
from resolvers.kernel.admission.gate import NEEDED

MOST_ERRORS = 50  # of one answer
MOST_FOUND = 10  # of a document: validation, and the reading of variables, stop looking there
MOST_LETTERS = 500  # of a message, which may repeat a value of the request
MOST_BYTES = 64 * 1024  # of all errors of one answer
MOST_PLACES = 10  # of one error in its document


def formatted(error: GraphQLError) -> dict[str, Any]:
    """One error as GraphQL has it (GraphQL spec, 7.1.2)."""
    cause = error.original_error
    made: dict[str, Any] = dict(error.formatted)
    if isinstance(cause, Refusal):
        made["extensions"] = cause.extensions
        if cause.detail == NEEDED:
            made["message"] = "workspaceId is required"  # as the argument is called here
    elif cause is not None and not isinstance(cause, GraphQLError):
        log.error("graphql field failed", exc_info=cause)
        made["message"], made["extensions"] = "Internal error", {"code": Code.INTERNAL.value}
    else:
        made["extensions"] = {"code": Code.BAD_REQUEST.value, **(error.extensions or {})}
    if len(made["message"]) > MOST_LETTERS:
        made["message"] = made["message"][:MOST_LETTERS] + "…"
    if len(made.get("locations") or ()) > MOST_PLACES:
        made["locations"] = made["locations"][:MOST_PLACES]
    return made


def reported(errors: Iterable[GraphQLError]) -> list[dict[str, Any]]:
    """The errors of one answer. If there are too many, the last one gives the number of those left out."""
    found, made, size = list(errors), list[dict[str, Any]](), 0
    for error in found[:MOST_ERRORS]:
        shown = formatted(error)
        length = len(orjson.dumps(shown))
        if length > MOST_BYTES:  # what it says of each field
            shown["extensions"] = {"code": shown["extensions"]["code"]}
            length = len(orjson.dumps(shown))
        size += length
        if size > MOST_BYTES:
            break
        made.append(shown)
    left = len(found) - len(made)
    if left:
        made.append(formatted(GraphQLError(f"{left} more errors are omitted")))
    return made


def refused(refusal: Refusal) -> list[dict[str, Any]]:
    """The errors of an answer to what is not, or no longer, done."""
    return reported([GraphQLError(str(refusal), original_error=refusal)])
