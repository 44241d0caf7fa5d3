"""A check of every answer that a run of schemathesis gets, on both surfaces: it says what the service means, and
nothing of its insides.
"""

import re
from typing import Any
from urllib.parse import urlencode

import schemathesis
from graphql import parse_value
from hypothesis import strategies

BROKEN = {"INTERNAL", "UNAVAILABLE", "BAD_GATEWAY"}
REFUSED_WITH_502 = ("git_url: ", "git_ref: ", "The Ollama server")  # contract: skills.bulk_import, models.list
LONGEST_QUERY = 4000
INSIDES = re.compile(
    r"Traceback|asyncpg|sqlalchemy|site-packages|pydantic|object at 0x|NoneType"
    r"|syntax error at or near|violates \w+ constraint"
)


LITERALS = ("null", "true", "0", "-1.5e9", '""', '"a\\u0000b"', '[1, "a", null]', "{a: {b: [1]}}", "[[[[[]]]]]")
schemathesis.graphql.scalar("JSON", strategies.sampled_from(LITERALS).map(parse_value))


@schemathesis.hook
def filter_query(_: Any, query: Any) -> bool:
    """A parameter without a value counts as not sent, whatever its schema says; an empty object is written as one."""
    return not isinstance(query, dict) or (
        all(value not in ("", {}, [], [""], None) for value in query.values()) and fits(query)
    )


@schemathesis.hook
def filter_path_parameters(_: Any, parameters: Any) -> bool:
    return not isinstance(parameters, dict) or fits(parameters)


def fits(values: dict[str, Any]) -> bool:
    """A longer URL comes to no operation: the server refuses it while it reads it (414)."""
    named = {name: value if isinstance(value, list) else str(value) for name, value in values.items()}
    return len(urlencode(named, doseq=True, errors="replace")) <= LONGEST_QUERY


@schemathesis.check
def speaks_clearly(ctx: Any, response: Any, case: Any) -> None:
    refused = response.status_code == 502 and any(text in response.text for text in REFUSED_WITH_502)
    assert response.status_code < 500 or refused, f"{response.status_code}: {response.text[:500]}"
    found = INSIDES.search(response.text) if response.status_code >= 400 or "/graphql" in response.request.url else None
    assert found is None, f"the answer speaks of {found and found[0]}: {response.text[:500]}"
    if "graphql" in response.request.url and "json" in response.headers.get("content-type", ""):
        for error in response.json().get("errors", ()):
            assert error["message"].strip(), "an error without a text"
            refused = error["message"].startswith(REFUSED_WITH_502)
            assert refused or error.get("extensions", {}).get("code", "BROKEN") not in {"BROKEN", *BROKEN}, f"{error}"
