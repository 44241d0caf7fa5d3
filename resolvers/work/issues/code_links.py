"""Links from issues to pull requests. A host is asked when a link is made or refreshed, and never in the background."""

import re
from dataclasses import replace
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

from pydantic import Field, PrivateAttr
from sqlalchemy import func, or_, select
from sqlmodel import col

from models import bounds
from models.bounds import cut
from models.resources.credentials import (
    Credential,
    CredentialCrew,
    CredentialEventType,
    CredentialScope,
    CredentialStatus,
)
from models.work.issues import ActivityAction, IssueCodeLink
from models.work.missions import Mission
from resolvers.instance.vault import Unopenable
from resolvers.kernel import (
    EVERYONE,
    NOW,
    Action,
    Code,
    Context,
    Id,
    Output,
    Paging,
    QueryScope,
    Refusal,
    Row,
    Rows,
    Subject,
    command,
    extend,
    graph,
    many,
    one,
    query,
)
from resolvers.kernel.writing.actors import actor_of
from resolvers.resources.credentials.references import value_of
from resolvers.resources.credentials.vault import tell
from resolvers.work.issues.events import IssueUpdated
from resolvers.work.issues.graph import ISSUE_ROWS
from resolvers.work.issues.naming import ISSUE_OF_CREW, OfCrew
from resolvers.work.issues.pull_requests import LinkFault, PullRequest, fault, fetched
from resolvers.work.missions.moving import record

MOST_LINKS: Final = 100
"""The most links of an issue (contract: none)."""
MOST_LOOKED_AT: Final = 100
"""Credentials of a provider among which one is chosen."""
ONE_LINE: Final = re.compile(r"[\x21-\x7e]+")
PURPOSE: Final = "code_link_fetch"
REFUSALS: Final = (
    Code.CONFLICT, Code.PRECONDITION_FAILED, Code.UNPROCESSABLE, Code.RATE_LIMITED, Code.BAD_GATEWAY,
)  # fmt: skip
NEWEST: Final = (col(IssueCodeLink.created_at).desc(), col(IssueCodeLink.id).desc())
LINKED: Final = replace(ISSUE_OF_CREW, judged_first=True)
LINK: Final = Subject(
    IssueCodeLink, "link_id", of=ISSUE_OF_CREW, key="mission_id", called="Code link", judged_first=True
)


class LinkCode(OfCrew):
    """`url` is the address of a pull request or a merge request; what follows the number is ignored."""

    url: Annotated[str, Field(strict=True, max_length=bounds.URL)] = ""


class OfCodeLink(OfCrew):
    """A link of an issue."""

    link_id: Id


class CodeLinkDeleted(Output):
    """The link was deleted."""

    status: str = "ok"
    _id: str = PrivateAttr("")

    @property
    def link_id(self) -> str:
        return self._id


class PageOfCodeLinks(Paging):
    """A page of links, newest first: 50 by default."""


graph(
    IssueCodeLink,
    gate=Action.READ,
    scope="issues:read",
    visible=EVERYONE,
    issue=one(ISSUE_ROWS, "mission_id"),
)
extend(Mission, code_links=many(IssueCodeLink, "mission_id", order_by=NEWEST, input=PageOfCodeLinks))


async def is_there(ctx: Context, issue: Mission | None) -> None:
    if issue is None:
        raise fault(LinkFault.issue_not_found)


async def link_is_there(ctx: Context, link: IssueCodeLink | None) -> None:
    """Says whether the issue or the link is missing."""
    if link is None:
        raise fault(LinkFault.link_not_found if await ctx.seek(ISSUE_OF_CREW) else LinkFault.issue_not_found)


@query("issues.code_links_list", Action.READ, subject=ISSUE_OF_CREW)
def list_code_links(scope: QueryScope, issue: Row[Mission], data: OfCrew) -> Rows[IssueCodeLink]:
    """List pull requests of an issue.

    Newest first, in the state of the last look; an issue has at most 100.
    """
    return scope.children(issue, IssueCodeLink, "mission_id").order_by(*NEWEST)


@command(
    "issues.code_links_create",
    Action.CREATE,
    subject=LINKED,
    allow=is_there,
    audit="issue_code_link.created",
    emits=IssueUpdated,
    errors=REFUSALS,
    late=True,
)
async def link_code(ctx: Context, issue: Mission, data: LinkCode) -> IssueCodeLink:
    """Add a pull request to an issue.

    Its host is asked before anything is stored, with the oldest active credential of the workspace or the crew for the
    provider; for a host of your own its account label must be the host. `reason` names the fault.
    """
    if not data.url.strip():
        raise fault(LinkFault.invalid_body)
    request = PullRequest.of(data.url)
    await _not_linked(ctx, issue.id, request)
    credential = await credential_for(ctx, issue.crew_id, request)
    found = await fetched(ctx, request, await token_of(credential))
    await ctx.begin()
    await ctx.get(Mission, issue.id, lock=True, missing=ISSUE_OF_CREW.missing)
    await _not_linked(ctx, issue.id, request)
    tell(ctx, credential.id, CredentialEventType.USE, purpose=PURPOSE)
    record(ctx, issue.id, actor_of(ctx), ActivityAction.code_link_added, request.url)
    ctx.emit(IssueUpdated(id=issue.id))
    named = {name: getattr(request, name) for name in ("provider", "host", "owner", "repo", "number", "url")}
    row = IssueCodeLink(mission_id=issue.id, credential_id=credential.id, **named, **found)
    row.last_synced_at = await ctx.now()
    return await ctx.insert(row, conflict="The pull request is linked to the issue already")


@command(
    "issues.code_links_refresh",
    Action.CREATE,
    subject=LINK,
    allow=link_is_there,
    audit="issue_code_link.refreshed",
    emits=IssueUpdated,
    errors=REFUSALS,
    late=True,
    writes_on_refusal=True,
)
async def refresh_code_link(ctx: Context, link: IssueCodeLink, data: OfCodeLink) -> IssueCodeLink:
    """Refresh a pull request of an issue.

    A failure leaves the state and is stored with the link; a success clears it.
    """
    request = PullRequest.of(link.url)
    issue = await ctx.get(Mission, link.mission_id)
    try:
        credential = await credential_for(ctx, issue.crew_id, request)
        found = await fetched(ctx, request, await token_of(credential))
    except Refusal as refusal:
        await ctx.begin()
        error = cut(refusal.detail, bounds.LINE * 2)
        changed = (col(IssueCodeLink.id) == link.id, col(IssueCodeLink.last_sync_error).is_distinct_from(error))
        await ctx.update_where(IssueCodeLink, *changed, last_sync_error=error)
        refusal.commit = True
        raise
    await ctx.begin()
    tell(ctx, credential.id, CredentialEventType.USE, purpose=PURPOSE)
    ctx.emit(IssueUpdated(id=link.mission_id))
    synced = {"credential_id": credential.id, "last_synced_at": NOW, "last_sync_error": None}
    return await ctx.update(IssueCodeLink, link.id, missing=LINK.missing, **found, **synced)


@command(
    "issues.code_links_delete",
    Action.CREATE,
    subject=LINK,
    allow=link_is_there,
    audit="issue_code_link.deleted",
    emits=IssueUpdated,
)
async def delete_code_link(ctx: Context, link: IssueCodeLink, data: OfCodeLink) -> CodeLinkDeleted:
    """Delete a link to a pull request."""
    await ctx.delete(IssueCodeLink, link.id, missing=LINK.missing)
    record(ctx, link.mission_id, actor_of(ctx), ActivityAction.code_link_removed, f"{link.id}: {link.url}")
    ctx.emit(IssueUpdated(id=link.mission_id))
    deleted = CodeLinkDeleted()
    deleted._id = link.id
    return deleted


async def _not_linked(ctx: Context, issue_id: str, request: PullRequest) -> None:
    """Hosts do not distinguish the case of owners and projects."""
    here = ctx.select(IssueCodeLink, col(IssueCodeLink.mission_id) == issue_id)
    same = (
        col(IssueCodeLink.provider) == request.provider,
        col(IssueCodeLink.host) == request.host,
        func.lower(col(IssueCodeLink.owner)) == request.owner.lower(),
        func.lower(col(IssueCodeLink.repo)) == request.repo.lower(),
        col(IssueCodeLink.number) == request.number,
    )
    if await here.where(*same).exists():
        raise fault(LinkFault.already_linked)
    if await here.count() >= MOST_LINKS:
        raise Refusal(Code.CONFLICT, f"An issue has at most {MOST_LINKS} links")


async def credential_for(ctx: Context, crew_id: str, request: PullRequest) -> Any:
    """The oldest active credential of the workspace or this crew. One that names the host has precedence; a host that
    is not the provider's own must be named, so that no token is sent to another one.
    """
    seen = ctx.table(CredentialCrew).c
    of_crew = select(seen.id).where(seen.credential_id == col(Credential.id), seen.crew_id == crew_id)
    found = ctx.select(
        Credential,
        col(Credential.provider) == request.provider.value,
        col(Credential.status) == CredentialStatus.ACTIVE,
        or_(col(Credential.scope) != CredentialScope.CREW.value, of_crew.exists()),
        including_hidden=True,
    )
    oldest = await found.order_by(col(Credential.created_at), col(Credential.id)).limit(MOST_LOOKED_AT).all()
    api = urlsplit(request.api).hostname
    filled = [each for each in oldest if each.value is not None and (not each.hosts or api in each.hosts)]
    for_host = [each for each in filled if (each.account_label or "").strip().lower() == request.host]
    chosen = [*for_host, *([each for each in filled if not is_host(each.account_label)] if request.is_public else [])]
    if not chosen:
        raise fault(LinkFault.no_credential)
    return chosen[0]


def is_host(label: str | None) -> bool:
    """The label names a host, to which alone the credential may be sent."""
    return "." in (label or "") and " " not in (label or "").strip()


async def token_of(credential: Any) -> str:
    try:
        token = (await value_of(credential.id, credential.value, credential.secret_ref)).reveal().strip()
    except (Unopenable, Refusal):
        raise fault(LinkFault.credential_unreadable) from None
    if not ONE_LINE.fullmatch(token):
        raise fault(LinkFault.credential_unreadable)
    return token
