"""GraphQL: answers that several domains share."""

import strawberry

from models.agents import Agent
from models.auth import User
from resolvers.kernel.outputs import Deleted, Success
from schema.bridge import output, union

union("Actor", User, Agent, description="Who does something, or is to do it.")


@output(Deleted)
class DeletedType:
    """The row was deleted."""

    id: strawberry.ID


@output(Success)
class SuccessType:
    """The operation succeeded."""

    success: bool
