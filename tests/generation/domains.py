"""The facts of each domain for generated tests: the modules `tests/<room>/<domain>/cases.py`, found by their names.

They may contain entities (`@entity`), and these tables:

IDS         a field without the name of an entity -> the entity whose id it takes
RECIPES     an operation -> values that its input model does not determine
ANONYMOUS   operations that take no credential. A new entry is a decision: the caller is unknown, on both surfaces
SOWN        an entity -> how many rows of its kind the tests of reads have, with other texts and nulls
READS       a list or row of the GraphQL schema -> the same read again, in Python (tests/reader/words.py)
ADDED       an operation, or the first part of its name -> why the service has it, if the contract does not
PROSE       operations whose role is a sentence in the contract: a guard decides, and the folder has a table of callers
"""

from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from tests.generation.entities import ENTITIES, MODELS, Plot
from tests.generation.recipes import Recipe

__all__ = ["ADDED", "ANONYMOUS", "ENTITIES", "IDS", "MODELS", "PROSE", "Plot", "recipe_of"]

TESTS = Path(__file__).parents[1]
CASES: dict[str, ModuleType] = {
    path.parent.name: import_module(".".join(path.relative_to(TESTS.parent).with_suffix("").parts))
    for path in sorted(TESTS.glob("**/cases.py"))
}


def merged(table: str) -> dict[str, Any]:
    """A table of all domains. Two of them may not say something of the same thing."""
    found: dict[str, Any] = {}
    for domain, cases in CASES.items():
        entries = getattr(cases, table, {})
        if twice := found.keys() & entries.keys():
            raise TypeError(f"{domain}: {', '.join(sorted(twice))} is in {table} of another domain, too")
        found |= entries
    return found


IDS: dict[str, str] = merged("IDS")
RECIPES: dict[str, Recipe] = merged("RECIPES")
SOWN: dict[str, int] = merged("SOWN")
ADDED: dict[str, str] = merged("ADDED")
ANONYMOUS: frozenset[str] = frozenset().union(*(getattr(cases, "ANONYMOUS", ()) for cases in CASES.values()))
PROSE: dict[str, str] = {name: domain for domain, cases in CASES.items() for name in getattr(cases, "PROSE", ())}


def recipe_of(name: str) -> Recipe:
    return RECIPES.get(name, Recipe())
