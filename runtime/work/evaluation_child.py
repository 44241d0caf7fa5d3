"""The process of `evaluation`: reads one expression a line, and writes one answer a line. Imports nothing of ours."""

import json
import resource
import sys
from functools import lru_cache
from typing import Any


def serve(memory: int, most_result: int) -> None:
    from cel_expr_python import cel

    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    types = {
        "string": cel.Type.STRING,
        "bool": cel.Type.BOOL,
        "int": cel.Type.INT,
        "map(string, dyn)": cel.Type.Map(cel.Type.STRING, cel.Type.DYN),
        "map(string, string)": cel.Type.Map(cel.Type.STRING, cel.Type.STRING),
    }

    @lru_cache(maxsize=8)
    def environment(variables: tuple[tuple[str, str], ...]) -> Any:
        return cel.NewEnv(variables={name: types[type_] for name, type_ in variables})

    for line in sys.stdin.buffer:
        asked = json.loads(line)
        answer = "null" if asked is None else _answer(cel, environment, *asked)
        if len(answer) > most_result:
            answer = json.dumps({"error": f"the value has more than {most_result} bytes"})
        sys.stdout.write(answer + "\n")
        sys.stdout.flush()


def _answer(cel: Any, environment: Any, expression: str, variables: list[list[str]], values: dict[str, Any]) -> str:
    try:
        kinds = tuple((name, type_) for name, type_ in variables)
        data = {name: _doubles(values[name]) if "dyn" in type_ else values[name] for name, type_ in kinds}
        value = environment(kinds).compile(expression).eval(data=data)
        if value.type() == cel.Type.ERROR:
            return json.dumps({"error": str(value.plain_value())[:500]})
        return json.dumps({"value": value.plain_value()}, allow_nan=False)
    except MemoryError:
        raise
    except Exception as error:  # the library declares none of its own
        return json.dumps({"error": f"the expression has no value: {error}".splitlines()[0][:500]})


def _doubles(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _doubles(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_doubles(entry) for entry in value]
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


if __name__ == "__main__":
    serve(int(sys.argv[1]), int(sys.argv[2]))
