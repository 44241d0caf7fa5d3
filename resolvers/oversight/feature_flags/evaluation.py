"""Evaluation of feature flags in a workspace: the one rule, for all operations.

The workspace's override decides, if there is one. Otherwise the flag is on if it is enabled and the workspace's bucket
is below the percentage. The bucket is the first 32 bits of SHA-256 of `<workspace id>/<key>`, modulo 100: it is the
same in every process and release, differs by flag, and a workspace stays in as the percentage rises. At 0 no workspace
is in, at 100 every one.
"""

from typing import Any

from sqlalchemy import BigInteger, and_, cast, func, literal, select
from sqlalchemy import Text as SQLText
from sqlalchemy.dialects.postgresql import BIT

from models.oversight.feature_flags import FeatureFlag, FeatureFlagOverride
from resolvers.kernel import Context, constant

_SEPARATOR: Any = constant("/", SQLText())  # in no workspace's id
_UTF8: Any = constant("UTF8")
_HEX: Any = constant("hex")
_BITS: Any = constant("x", SQLText())
_DIGITS: Any = constant(8)
BUCKETS: Any = constant(100)


def bucket(key: Any, workspace_id: Any) -> Any:
    """A number from 0 to 99."""
    named = cast(workspace_id, SQLText()).concat(_SEPARATOR).concat(key)
    digest = func.encode(func.sha256(func.convert_to(named, _UTF8)), _HEX, type_=SQLText())
    first = func.left(digest, _DIGITS, type_=SQLText())
    return cast(cast(_BITS.concat(first), BIT(32)), BigInteger()).op("%")(BUCKETS)


def evaluated(flag: Any, override: Any, workspace_id: Any) -> Any:
    """The value from the columns of a flag, the workspace's override or null, and the workspace."""
    return func.coalesce(override, and_(flag.enabled, bucket(flag.key, workspace_id) < flag.percentage))


async def is_active(ctx: Context, key: str) -> bool:
    """Returns true if the flag is on in the workspace of the call. An unknown flag is off."""
    flag, override = ctx.table(FeatureFlag), ctx.table(FeatureFlagOverride)
    both = flag.outerjoin(override, override.c.flag_id == flag.c.id)
    answer = evaluated(flag.c, override.c.enabled, literal(ctx.workspace_id, SQLText()))
    found = await ctx.report(select(answer).select_from(both).where(flag.c.key == key))
    return bool(found and found[0][0])
