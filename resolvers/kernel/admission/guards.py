"""Guards: rules of a domain that run after the gate and before the body is validated."""

import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, get_args, get_type_hints

from resolvers.errors import Refusal
from resolvers.kernel.admission.request import Request
from resolvers.kernel.ground.inputs import Input, validate

Rule = Callable[..., Awaitable[None]]
"""`async def f(ctx)`; a second parameter receives a value of the annotated type.

If the operation has a subject, the value is its row. Otherwise it is the part of the body that an Input declares:
faults of this part are reported before faults of the rest. With `| None` the value is None if the part is invalid or no
body could be read.
"""

_ABOUT_CALLERS = set[Rule]()


def about_caller(rule: Rule) -> Rule:
    """Declares that a rule decides by the caller alone, so that it answers for calls that are not made, too."""
    _ABOUT_CALLERS.add(rule)
    return rule


@dataclass(frozen=True, slots=True)
class Guard:
    rule: Rule
    takes: bool
    part: type[Input] | None = None
    lenient: bool = False

    @classmethod
    def of(cls, operation: str, rule: Rule, subject: Any) -> "Guard":
        parameters = list(inspect.signature(rule).parameters.values())[1:]
        if not parameters or subject is not None:
            return cls(rule, bool(parameters))
        hint = get_type_hints(rule).get(parameters[0].name)
        kinds = [kind for kind in get_args(hint) or (hint,) if kind is not type(None)]
        if len(kinds) != 1 or not (isinstance(kinds[0], type) and issubclass(kinds[0], Input)):
            raise TypeError(f"{operation}: {rule.__name__} is given an Input, a part of the body")
        return cls(rule, True, kinds[0], bool(get_args(hint)))

    @property
    def about_caller(self) -> bool:
        return self.rule in _ABOUT_CALLERS

    async def __call__(self, ctx: Any, row: Any, request: Request) -> None:
        if not self.takes:
            await self.rule(ctx)
        elif self.part is None:
            await self.rule(ctx, row)
        else:
            await self.rule(ctx, self._part(self.part, request))

    def _part(self, part: type[Input], request: Request) -> Input | None:
        try:
            if request.fault is not None:
                raise request.fault
            return validate(part, request.raw)
        except Refusal:
            if self.lenient:
                return None
            raise
