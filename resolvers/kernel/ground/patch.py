"""The body of a PATCH: absent fields stay unchanged."""

from inspect import get_annotations
from typing import Annotated, Any, TypeVar

from pydantic import BeforeValidator, Field

from resolvers.errors import Code, Refusal
from resolvers.kernel.ground.inputs import Input

T = TypeVar("T")


class _Unsent:
    def __repr__(self) -> str:
        return "UNSENT"

    def __bool__(self) -> bool:
        return False


UNSENT: Any = _Unsent()
"""In the place of a field that was not sent."""


class Patch(Input):
    """An input whose own fields are optional; absent ones are UNSENT. Fields of other base classes name the row.

    Null clears a nullable field, and counts as absent for any other (contract: requests.null_values).
    """

    def __init_subclass__(cls, **options: Any) -> None:
        for name in get_annotations(cls):
            if name not in cls.__dict__ and not name.startswith("_"):
                setattr(cls, name, Field(default_factory=lambda: UNSENT))
        super().__init_subclass__(**options)

    @classmethod
    def editable(cls) -> list[str]:
        """The fields that may be sent."""
        return [name for name, field in cls.model_fields.items() if not field.is_required()]

    def sent(self) -> dict[str, Any]:
        """The fields to change."""
        return self.changes(*[name for name, field in type(self).model_fields.items() if field.is_required()])

    def something(self) -> dict[str, Any]:
        """`sent`; BAD_REQUEST if that is empty."""
        sent = self.sent()
        if not sent:
            raise Refusal(Code.BAD_REQUEST, "There is nothing to update")
        return sent


def none_if_empty(value: Any) -> Any:
    return None if value == "" else value


Emptied = Annotated[T | None, BeforeValidator(none_if_empty)]
"""`Emptied[Id]`: an empty text clears it, too; forms send one."""
