"""GraphQL: answers that several domains share."""

from datetime import datetime

import strawberry

from models.people.auth import TokenTier, User
from models.staff.agents import Agent
from resolvers.kernel.declarations.outputs import Deleted, Success
from resolvers.people.auth.cli_tokens import CreatedCliToken, RevokedCliToken
from resolvers.staff.crews.files import FileInfo, FileSaved
from schema.bridge.fields import output, union

union("Actor", User, Agent, description="Who does something, or is to do it.")


@output(Deleted)
class DeletedType:
    """The row was deleted."""

    id: strawberry.ID


@output(Success)
class SuccessType:
    """The operation succeeded."""

    success: bool


@output(CreatedCliToken)
class CreatedCliTokenType:
    token: str
    id: strawberry.ID
    name: str
    tier: TokenTier
    created_at: datetime
    expires_at: datetime | None
    scopes: list[str] | None


@output(RevokedCliToken)
class RevokedCliTokenType:
    """The token has stopped working."""

    status: str


@output(FileInfo)
class FileInfoType:
    """An entry of a folder. `path` can be passed unchanged to other file fields; `size` is in bytes."""

    path: str
    name: str
    size: float
    is_dir: bool
    mod_time: datetime


@output(FileSaved)
class FileSavedType:
    """A file that was saved."""

    status: str
    path: str
