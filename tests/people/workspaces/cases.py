"""Cases of workspaces and their members, for the tests that are made for every operation."""

import hashlib
from datetime import timedelta
from typing import Any

from models.kernel import AuditLog
from models.people.workspaces import Invitation, Membership, Role
from resolvers.kernel import Code
from tests.generation.entities import Plot, entity
from tests.generation.recipes import Recipe
from tests.world import now


@entity
def membership(plot: Plot) -> Membership:
    """Of a person with no other part in the cases, who may be removed."""
    return Membership(user_id=plot.second.user_id, role=Role.MEMBER, accepted_at=now(), **plot.here)


@entity
def invitation(plot: Plot) -> Invitation:
    token = hashlib.sha256(f"invitation to {plot.workspace.id}".encode()).hexdigest()
    expires = now() + timedelta(days=7)
    return Invitation(
        email="invited@example.com",
        role=Role.MEMBER,
        invited_by=plot.owner.user_id,
        token=token,
        expires_at=expires,
        **plot.here,
    )


@entity
def audit_log(plot: Plot) -> AuditLog:
    return AuditLog(
        user_id=plot.owner.user_id,
        action="crew.created",
        entity_type="CREW",
        entity_id=plot["crew"].id,
        data={"name": "Engine"},
        **plot.here,
    )


def _token(world: Any) -> str:
    token: str = world.home["invitation"].token
    return token


ANONYMOUS = frozenset({"invitations.signup"})
RECIPES = {
    "workspaces.delete": Recipe(
        {"confirm_slug": lambda world: world.home.workspace.slug}, refused=Code.CONFLICT
    ),  # the only one
    "workspaces.restore": Recipe(ids={"id": "workspace"}, refused=Code.NOT_FOUND),  # it is there
    "invitations.accept": Recipe({"token": _token}, refused=Code.FORBIDDEN),  # it is somebody else's
    "invitations.signup": Recipe({"token": _token}),
    "members.add": Recipe({"user_id": lambda world: world.person("nobody").user_id}),
    "members.provision": Recipe({"email": "new@example.com", "role": "VIEWER"}, refused=Code.UNAVAILABLE),  # no address
    "members.update_role": Recipe({"role": "VIEWER"}, ids={"id": "membership"}),
    "members.remove": Recipe(ids={"id": "membership"}),
    "members.capabilities_get": Recipe(ids={"member_id": "user"}),
    "members.capabilities_update": Recipe({"grant": ["issue.create"]}, ids={"member_id": "user"}),
}
