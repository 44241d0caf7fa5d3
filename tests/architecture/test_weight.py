"""Memory that our classes do not use, because there are hundreds of them."""

from typing import Any

from schema.bridge.root import schema


def _types() -> dict[str, Any]:
    made = {name: type_.extensions.get("strawberry-definition") for name, type_ in schema._schema.type_map.items()}
    return {name: of.origin for name, of in made.items() if hasattr(of, "fields")}


def test_types_of_the_schema_have_no_functions_of_a_dataclass() -> None:
    types = _types()
    assert {"Crew", "Query", "CreateLabelInput", "PageInfo"} <= types.keys()
    made = {"__init__", "__repr__", "__eq__"}
    assert {name for name, type_ in types.items() if made & vars(type_).keys()} == set()
