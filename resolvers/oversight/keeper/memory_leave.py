"""Leave to note what is known of people, where the policy of a crew has somebody approve what is remembered.

Managers are asked whether, and not what: no model has been asked by then, and nobody is named. A card is its person's
to read before anybody's.
"""

from datetime import timedelta
from typing import Final

from sqlmodel import col

from models.attention.inbox import InboxItem, InboxKind, InboxPriority, InboxState, SenderType
from models.bounds import cut
from models.people.workspaces import Role
from models.staff.crews import Crew
from resolvers.attention.inbox.putting import put
from resolvers.kernel import Context

YES: Final = ("approve", "approved")
HOLDS: Final = timedelta(days=1)
"""From the approval on: for one look, which comes within ten minutes, and its repetition."""
ASKED_AGAIN: Final = timedelta(days=7)
"""After a no."""
SOURCE: Final = "memory_leave_"
ASKS: Final = (
    "{number} of the users who have talked to agents of this crew would get a card, or a new one: a note "
    "of an agent about a person, written by a model from that person's own words to the agent. The "
    "person and the agent can read it, no one else; the person can delete it, and refuse cards "
    "altogether.\n\nWith `approve` the cards are written within ten minutes. Otherwise no card is written."
)


async def has_leave(ctx: Context, crew_id: str) -> bool:
    item = await _item(ctx, crew_id)
    if item is None or item.state is not InboxState.resolved or item.resolved_at is None:
        return False
    return item.resolved_action in YES and await ctx.now() < item.resolved_at + HOLDS


async def ask_for_leave(ctx: Context, crew: Crew, number: int) -> None:
    """Once, until somebody has decided; after a no, a week later. The operation declares InboxItemUpdated."""
    item = await _item(ctx, crew.id)
    decided = item is not None and item.state is InboxState.resolved
    refused_at = item.resolved_at if item is not None and decided and item.resolved_action not in YES else None
    if refused_at is not None and await ctx.now() < refused_at + ASKED_AGAIN:
        return
    await put(
        ctx,
        InboxKind.memory_consolidation,
        f"{SOURCE}{crew.id}",
        anew=decided,
        target_role=Role.MANAGER,
        title=cut(f"May agents of {crew.name} note what they know of people?", 200),
        body_md=ASKS.format(number=number),
        sender_type=SenderType.system,
        sender_name="Keeper",
        priority=InboxPriority.low,
        blocking=True,
        payload={"action": "memory_write", "crew_id": crew.id, "people": number},
    )


async def _item(ctx: Context, crew_id: str) -> InboxItem | None:
    same = (col(InboxItem.kind) == InboxKind.memory_consolidation, col(InboxItem.source_id) == f"{SOURCE}{crew_id}")
    return await ctx.select(InboxItem, *same, including_hidden=True).first()
