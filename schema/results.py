"""GraphQL: answers that several domains share."""

import strawberry

from resolvers.kernel.outputs import Deleted, Success
from schema.bridge import output


@output(Deleted)
class DeletedType:
    """The row was deleted."""

    id: strawberry.ID


@output(Success)
class SuccessType:
    """The operation succeeded."""

    success: bool
