"""Models of pydantic that are not used yet, in a third of the memory: there are a thousand, and most are never used.

A model that is built on first use (`defer_build`) has three stand-ins, for its schema, validator and serializer.
Pydantic makes six functions for each, and every field has an empty set of its own. Here one class serves all models,
and one set all fields: 3 MB in every process. Where pydantic has changed, its own stand-ins remain.
"""

from typing import Any

from pydantic import BaseModel
from pydantic._internal import _mock_val_ser, _model_construction

NONE: frozenset[Any] = frozenset()
UNBUILT = "class-not-fully-defined"  # pydantic's code
library: Any = _model_construction
stand_ins: Any = _mock_val_ser


class _Built:
    """Builds the model, and gives what the stand-in stands for. None where the model cannot be built yet."""

    __slots__ = ("model", "name")

    def __init__(self, model: type[BaseModel], name: str) -> None:
        self.model, self.name = model, name

    def __call__(self, *, parent_namespace_depth: int = 5) -> Any:
        built = self.model.model_rebuild(raise_errors=False, _parent_namespace_depth=parent_namespace_depth)
        return None if built is False else getattr(self.model, self.name)


def _set_stand_ins(model: Any, undefined: str | None = None) -> None:
    named = undefined or "all referenced types"
    text = (
        f"`{model.__name__}` is not fully defined; you should define {named},"
        f" then call `{model.__name__}.model_rebuild()`."
    )
    model.__pydantic_core_schema__ = stand_ins.MockCoreSchema(
        text, code=UNBUILT, attempt_rebuild=_Built(model, "__pydantic_core_schema__")
    )
    for kind in ("validator", "serializer"):
        name = f"__pydantic_{kind}__"
        lazy = stand_ins.MockValSer(text, code=UNBUILT, val_or_ser=kind, attempt_rebuild=_Built(model, name))
        setattr(model, name, lazy)
    for field in model.__pydantic_fields__.values():
        if not field._qualifiers:  # of fields of typed dictionaries
            field._qualifiers = NONE


if hasattr(library, "set_model_mocks"):
    library.set_model_mocks = _set_stand_ins
