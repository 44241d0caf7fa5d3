"""The rights of a caller: which operations the gates of other operations would let this caller call."""

from typing import Any

from resolvers.errors import Code, Refusal
from resolvers.kernel.admission.gate import Tenancy, judge
from resolvers.kernel.admission.guards import Rule
from resolvers.kernel.admission.operators import check_operator
from resolvers.kernel.declarations.operation import Auth, Operation, Reach
from resolvers.kernel.writing.context import Context


class Rights:
    """Asks the gates of operations in the workspace of a call, without a statement of their own. Rules about rows and
    inputs are not asked.
    """

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        self._rules = dict[Rule, bool]()

    async def may(self, op: Operation[Any]) -> bool:
        """Returns false if the operation is FORBIDDEN to the caller for every input."""
        ctx = self._ctx
        try:
            op.require(ctx.caller, ctx.workspace_id)
            if op.auth is Auth.NONE:
                return True
            op.check_scopes(ctx.standing, None)
            judge(ctx.standing, op.tenancy, op.roles, ctx.caller.kind)
            if op.tenancy is not Tenancy.NONE:
                op.check_role(ctx.role, ctx.capabilities)
        except Refusal:
            return False
        rules = [guard.rule for guard in op.guards if guard.about_caller]
        if op.reach is Reach.INSTANCE:
            rules.append(check_operator)
        return all([await self._passes(rule) for rule in rules])

    async def _passes(self, rule: Rule) -> bool:
        if rule not in self._rules:
            try:
                await rule(self._ctx)
                self._rules[rule] = True
            except Refusal as refusal:
                self._rules[rule] = refusal.code is not Code.FORBIDDEN
        return self._rules[rule]
