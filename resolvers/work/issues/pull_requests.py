"""Pull requests at GitHub and GitLab: their addresses, and what their hosts say of them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final
from urllib.parse import quote, urljoin, urlsplit

from models import bounds
from models.bounds import cut
from models.work.issues import OWNER, GitProvider, PullState
from resolvers.instance.outbound import Answered, Outbound, Policy
from resolvers.kernel import Code, Context, Refusal, instance

TIMEOUT: Final = 10  # seconds
MOST: Final = 1 << 20  # bytes of an answer
MOST_REDIRECTS: Final = 3
PART: Final = r"(?!\.{1,2}/)[A-Za-z0-9_.-]{1,200}"
HOST: Final = r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?(?::[0-9]{1,5})?"
END: Final = r"([1-9][0-9]{0,8})(?:[/?#].*)?"
ADDRESSES: Final[Mapping[GitProvider, re.Pattern[str]]] = {
    GitProvider.GITHUB: re.compile(rf"(https?)://({HOST})/({PART})/({PART})/pulls?/{END}", re.DOTALL),
    GitProvider.GITLAB: re.compile(
        rf"(https?)://({HOST})/((?:{PART}/){{0,23}}{PART})/({PART})/-/merge_requests/{END}", re.DOTALL
    ),
}
TAIL: Final = {GitProvider.GITHUB: "pull", GitProvider.GITLAB: "-/merge_requests"}
PUBLIC: Final = {GitProvider.GITHUB: "github.com", GitProvider.GITLAB: "gitlab.com"}


class LinkFault(StrEnum):
    """Why a pull request is not linked or read (contract: issues.CodeLinkProblem)."""

    invalid_body = "invalid-body"
    unsupported_url = "unsupported-url"
    issue_not_found = "issue-not-found"
    link_not_found = "link-not-found"
    pull_request_not_found = "pull-request-not-found"
    already_linked = "already-linked"
    no_credential = "no-credential"
    credential_unreadable = "credential-unreadable"
    blocked_host = "blocked-host"
    rate_limited = "rate-limited"
    credential_rejected = "credential-rejected"
    credential_forbidden = "credential-forbidden"
    provider_unavailable = "provider-unavailable"
    cross_host_redirect = "cross-host-redirect"
    unexpected_response = "unexpected-response"


FAULTS: Final[Mapping[LinkFault, tuple[Code, str]]] = {
    LinkFault.invalid_body: (Code.BAD_REQUEST, "url is required"),
    LinkFault.unsupported_url: (
        Code.BAD_REQUEST,
        "url: must be the address of a pull request of GitHub or of a merge request of GitLab",
    ),
    LinkFault.issue_not_found: (Code.NOT_FOUND, "Issue not found"),
    LinkFault.link_not_found: (Code.NOT_FOUND, "Code link not found"),
    LinkFault.pull_request_not_found: (
        Code.NOT_FOUND,
        "The host does not know the pull request, or does not show it for this credential",
    ),
    LinkFault.already_linked: (Code.CONFLICT, "The pull request is linked to the issue already"),
    LinkFault.no_credential: (Code.PRECONDITION_FAILED, "No active credential is for this host"),
    LinkFault.credential_unreadable: (Code.BAD_GATEWAY, "The credential for this host cannot be read"),
    LinkFault.blocked_host: (Code.UNPROCESSABLE, "The host has a private address, which may not be called"),
    LinkFault.rate_limited: (Code.RATE_LIMITED, "The host refuses further calls for now"),
    LinkFault.credential_rejected: (Code.BAD_GATEWAY, "The host does not accept the credential"),
    LinkFault.credential_forbidden: (Code.BAD_GATEWAY, "The credential does not allow to read the pull request"),
    LinkFault.provider_unavailable: (Code.BAD_GATEWAY, "The host cannot be reached, or failed"),
    LinkFault.cross_host_redirect: (Code.BAD_GATEWAY, "The host redirects to another host, which is not followed"),
    LinkFault.unexpected_response: (Code.BAD_GATEWAY, "The answer of the host is not a pull request"),
}


def fault(of: LinkFault, **extra: Any) -> Refusal:
    code, text = FAULTS[of]
    return Refusal(code, text, reason=f"code-link/{of.value}", extra=extra)


@dataclass(frozen=True, slots=True)
class PullRequest:
    """The address of a pull request. Scheme and case are as sent."""

    provider: GitProvider
    scheme: str
    host: str
    owner: str
    repo: str
    number: int

    @classmethod
    def of(cls, text: str) -> "PullRequest":
        """Raises a Refusal for any other address."""
        for provider, address in ADDRESSES.items():
            found = address.fullmatch(text.strip())
            if found is None:
                continue
            host = found[2].lower()
            made = cls(provider, found[1], host.removeprefix("www."), found[3], found[4], int(found[5]))
            if len(made.owner) <= OWNER and len(made.url) <= bounds.URL:
                return made
        raise fault(LinkFault.unsupported_url)

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.host}/{self.owner}/{self.repo}/{TAIL[self.provider]}/{self.number}"

    @property
    def is_public(self) -> bool:
        """The host is the provider's own."""
        return self.host == PUBLIC[self.provider]

    @property
    def api(self) -> str:
        if self.provider is GitProvider.GITLAB:
            project = quote(f"{self.owner}/{self.repo}", safe="")
            return f"https://{self.host}/api/v4/projects/{project}/merge_requests/{self.number}"
        base = "https://api.github.com" if self.is_public else f"https://{self.host}/api/v3"
        return f"{base}/repos/{self.owner}/{self.repo}/pulls/{self.number}"


async def fetched(ctx: Context, request: PullRequest, token: str) -> dict[str, Any]:
    """The columns of a link, as the host answers now. Outside any transaction; raises a Refusal."""
    private = instance.settings.git_allow_private
    headers = {"authorization": f"Bearer {token}", "accept": "application/vnd.github+json"}
    if request.provider is GitProvider.GITLAB:
        headers = {"private-token": token}
    policy = Policy.PRIVATE_TOO if private else Policy.PUBLIC
    try:
        async with ctx.outside.http(policy, timeout=TIMEOUT, most=MOST) as http:
            answer = await _asked(http, request.api, headers)
    except Refusal as refusal:
        if refusal.reason is not None:
            raise
        blocked = refusal.code is Code.BAD_REQUEST
        raise fault(LinkFault.blocked_host if blocked else LinkFault.provider_unavailable) from None
    return _columns(request.provider, _object(answer))


async def _asked(http: Outbound, url: str, headers: Mapping[str, str]) -> Answered:
    """Follows redirects within the host, which moved projects have."""
    for _ in range(MOST_REDIRECTS + 1):
        answer = await http.get(url, headers=headers)
        if not 300 <= answer.status < 400:
            return answer
        there = urljoin(url, answer.headers.get("location", ""))
        if urlsplit(there)[:2] != urlsplit(url)[:2]:
            raise fault(LinkFault.cross_host_redirect)
        url = there
    raise fault(LinkFault.unexpected_response)


def _object(answer: Answered) -> dict[str, Any]:
    status = answer.status
    exhausted = status == 403 and answer.headers.get("x-ratelimit-remaining") == "0"
    if status == 429 or exhausted:
        wait = answer.headers.get("retry-after", "")
        raise fault(LinkFault.rate_limited, **({"retry_after": int(wait)} if re.fullmatch(r"\d{1,6}", wait) else {}))
    refused = {
        401: LinkFault.credential_rejected,
        403: LinkFault.credential_forbidden,
        404: LinkFault.pull_request_not_found,
    }.get(status)
    if refused is not None:
        raise fault(refused)
    if status >= 500:
        raise fault(LinkFault.provider_unavailable)
    try:
        found = answer.json() if status == 200 else None
    except Refusal:
        found = None
    if not isinstance(found, dict) or not isinstance(found.get("state"), str):
        raise fault(LinkFault.unexpected_response)
    return found


def _columns(provider: GitProvider, found: Mapping[str, Any]) -> dict[str, Any]:
    if provider is GitProvider.GITHUB:
        author, source, target = _in(found, "user", "login"), _in(found, "head", "ref"), _in(found, "base", "ref")
    else:
        author, source, target = (
            _in(found, "author", "username"),
            found.get("source_branch"),
            found.get("target_branch"),
        )
    return {
        "title": _text(found.get("title"), bounds.LABEL),
        "state": _state(found),
        "author": _text(author, bounds.LINE),
        "source_branch": _text(source, bounds.LINE * 2),
        "target_branch": _text(target, bounds.LINE * 2),
        **{f"remote_{name}": _text(found.get(name), bounds.LINE) for name in TIMES},
    }


TIMES: Final = ("created_at", "updated_at", "merged_at", "closed_at")


def _state(found: Mapping[str, Any]) -> PullState:
    """GitHub closes what it merges; GitLab has a state of its own for it, and one for what is being merged."""
    if found.get("merged_at") or found["state"] == "merged":
        return PullState.MERGED
    if found["state"] not in ("open", "opened", "locked"):
        return PullState.CLOSED
    return PullState.DRAFT if found.get("draft") is True or found.get("work_in_progress") is True else PullState.OPEN


def _in(found: Mapping[str, Any], name: str, part: str) -> Any:
    inner = found.get(name)
    return inner.get(part) if isinstance(inner, dict) else None


def _text(value: Any, most: int) -> str | None:
    if not isinstance(value, str):
        return None
    return cut(value.replace("\0", "").encode(errors="replace").decode(), most)
