"""What a generic value cannot say about one operation: the one table to edit when a new operation needs more than its input model tells."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from resolvers.kernel.crypto import TokenKind
from resolvers.kernel.errors import Code
from resolvers.kernel.instance import instance


@dataclass(frozen=True)
class Recipe:
    """`values`: fields of a valid input; a callable gets the world of the cases. `ids`: field -> key of an entity, where the name does not say it.

    `chosen`: fields that are called like a reference and name nothing that is there: the caller chooses the id of what is made.
    `refused`: how a valid input is refused in a world that is in use; `person` makes the call when the owner cannot. `cookies`: what a browser
    sends along, over REST.
    """

    values: Mapping[str, Any] = field(default_factory=dict)
    ids: Mapping[str, str] = field(default_factory=dict)
    chosen: frozenset[str] = frozenset()
    person: str = "owner"
    refused: Code | None = None
    cookies: Callable[[Any], dict[str, str]] | None = None


PASSWORD = "correct horse battery"  # of the owner, too

# By the name of the field, for every operation.
VALUES: dict[str, Any] = {
    "email": "new@example.com",
    "password": PASSWORD,
    "preferred_language": "English",
    "role": "MEMBER",
}

IDS: dict[str, str] = {"from_crew_id": "crew", "to_crew_id": "third_crew", "lead_agent_id": "lead", "parent_lead_id": "lead", "token_id": "cli_token"}

CSRF = "ab" * 32


def _login(world: Any) -> dict[str, str]:
    return {"authjs.csrf-token": CSRF}


def _refresh(world: Any) -> dict[str, str]:
    user_id, session_id = world.home.owner.user_id, world.home["session"].id
    token, _ = instance.signer.sign(TokenKind.refresh, user_id=user_id, session_id=session_id, lifetime=timedelta(hours=1))
    return {"authjs.refresh-token": token}


RECIPES: dict[str, Recipe] = {
    "channels.user": Recipe(ids={"id": "user"}),
    "chats.create": Recipe(chosen=frozenset({"session_id"})),
    "chats.delete": Recipe(ids={"chat_id": "second_chat"}),
    "runs.create_internal": Recipe({"id": "run-of-a-program"}, chosen=frozenset({"id"})),
    "runs.finish_internal": Recipe({"status": "COMPLETED"}, ids={"id": "live_run"}),
    "auth.bootstrap": Recipe(refused=Code.GONE),
    "auth.login": Recipe({"email": lambda world: world.home.owner.email, "password": PASSWORD, "csrfToken": CSRF}, cookies=_login),
    "auth.refresh": Recipe(cookies=_refresh),
    "members.add": Recipe({"user_id": lambda world: world.person("nobody").user_id}),
    "members.remove": Recipe(ids={"id": "membership"}),
    "members.capabilities_get": Recipe(ids={"member_id": "user"}),
    "members.capabilities_update": Recipe({"grant": ["issue.create"]}, ids={"member_id": "user"}),
}


def recipe_of(name: str) -> Recipe:
    return RECIPES.get(name, Recipe())
