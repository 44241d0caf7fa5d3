"""Placeholders of models that are not built yet, in a fraction of pydantic's memory.

A model that is built on first use (`defer_build`) has placeholders for its schema, validator and serializer. Pydantic
creates six functions for each of a thousand models, and an empty set for each field. Here all models share one class,
and all fields one set, which saves 3 MB in every process. These are internals of pydantic: pyproject.toml allows one
minor release of it.
"""

from typing import Any

from pydantic import BaseModel
from pydantic._internal import _mock_val_ser, _model_construction

NONE: frozenset[Any] = frozenset()
UNBUILT = "class-not-fully-defined"  # pydantic's code
library: Any = _model_construction
placeholders: Any = _mock_val_ser


class _Built:
    """Builds the model and returns the attribute that the placeholder replaces; None if the model cannot be built."""

    __slots__ = ("model", "name")

    def __init__(self, model: type[BaseModel], name: str) -> None:
        self.model, self.name = model, name

    def __call__(self, *, parent_namespace_depth: int = 5) -> Any:
        built = self.model.model_rebuild(raise_errors=False, _parent_namespace_depth=parent_namespace_depth)
        return None if built is False else getattr(self.model, self.name)


def _set_placeholders(model: Any, undefined: str | None = None) -> None:
    named = undefined or "all referenced types"
    text = (
        f"`{model.__name__}` is not fully defined; you should define {named},"
        f" then call `{model.__name__}.model_rebuild()`."
    )
    model.__pydantic_core_schema__ = placeholders.MockCoreSchema(
        text, code=UNBUILT, attempt_rebuild=_Built(model, "__pydantic_core_schema__")
    )
    for kind in ("validator", "serializer"):
        name = f"__pydantic_{kind}__"
        lazy = placeholders.MockValSer(text, code=UNBUILT, val_or_ser=kind, attempt_rebuild=_Built(model, name))
        setattr(model, name, lazy)
    for field in model.__pydantic_fields__.values():
        if not field._qualifiers:  # of fields of typed dictionaries
            field._qualifiers = NONE


library.set_model_mocks = _set_placeholders
