"""Expressions in CEL, checked when a document is read: syntax, names and type.

`cel-expr-python` is the binding of Google's C++ implementation. It passes 1781 of the 2056 cases of the official suite
that do not handle messages of protobuf. Failing: all that need its extensions sets, lists, network and block, which it
does not offer; macros with two variables; and eight single ones: five sums or differences of times and durations at the
ends of their range, equal keys of different types in a map, and two lookups in expressions that are not checked. The
parser refuses what is nested more than 32 levels deep, and an evaluation ends after 10,000 iterations; neither bounds
memory, which is why evaluations run in a process of their own.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

LONGEST: Final = 4096
"""Bytes of one expression."""

_PLACE: Final = re.compile(r"ERROR: <input>:(-?\d+):(-?\d+): ([^\n]*)")


@dataclass(frozen=True, slots=True)
class Kind:
    """A place for expressions: the variables by their types in CEL, and whether only a boolean will do."""

    variables: tuple[tuple[str, str], ...]
    boolean: bool = False


CONDITION: Final = Kind((("inputs", "map(string, dyn)"), ("steps", "map(string, string)"), ("run", "map(string, dyn)")))
RETRY: Final = Kind((("error", "string"), ("transient", "bool"), ("status", "int")), boolean=True)
CODE: Final = Kind((("inputs", "map(string, dyn)"),))


def fault_in(expression: str, kind: Kind) -> str | None:
    """The reason why an expression does not compile."""
    if len(expression.encode(errors="replace")) > LONGEST:
        return f"an expression has at most {LONGEST} bytes"
    try:
        compiled = environment(kind).compile(expression)
    except ImportError:
        return "expressions are not supported on this platform"
    except Exception as error:  # the binding declares none of its own
        found = _PLACE.search(str(error))
        if found is None or int(found[1]) < 0:
            reason = found[3] if found else (str(error).splitlines() or ["it is empty"])[0][:200]
            return f"the expression does not compile: {reason}"
        reason = found[3].removesuffix(" (in container '')")
        return f"the expression does not compile: {reason} (line {found[1]}, column {found[2]} of the expression)"
    type_ = compiled.return_type().name().lower()
    if kind.boolean and type_ not in ("bool", "dyn"):
        return f"the expression must be a boolean and is of the type {type_}"
    return None


@lru_cache(maxsize=8)
def environment(kind: Kind) -> Any:
    from cel_expr_python import cel  # a process that reads no routine does not load it

    types = {
        "string": cel.Type.STRING,
        "bool": cel.Type.BOOL,
        "int": cel.Type.INT,
        "map(string, dyn)": cel.Type.Map(cel.Type.STRING, cel.Type.DYN),
        "map(string, string)": cel.Type.Map(cel.Type.STRING, cel.Type.STRING),
    }
    return cel.NewEnv(variables={name: types[type_] for name, type_ in kind.variables})
