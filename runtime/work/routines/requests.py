"""HTTP steps: one request, to hosts that the network of the author's crew and the routine's targets permit.

Each redirect is checked like the request, and the address is checked again when connecting (ADR 39).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final
from urllib.parse import urljoin, urlsplit

from models.staff.crews import NetworkMode
from models.work.routines.document import HttpStep
from models.work.routines.templates import Values, render
from resolvers.errors import Refusal
from resolvers.instance.outbound import Answered, Outbound, Policy
from resolvers.instance.running import instance
from resolvers.rules.allowed_domains import ALWAYS_ALLOWED
from runtime.work.routines.failures import StepError

TIMEOUT: Final = 30.0
LONGEST_TIMEOUT: Final = 600
REDIRECTS: Final = 10
TRUNCATED: Final = "\n...(response truncated)"
SHOWN: Final = 200
KEY: Final = "idempotency-key"
RUN: Final = "x-crewship-run"
"""Names the run that sends a request: a webhook of a routine counts the runs that lead to each other."""
_SAFE: Final = frozenset({"GET", "HEAD"})
_REDIRECTS: Final = frozenset(
    {
        HTTPStatus.MOVED_PERMANENTLY, HTTPStatus.FOUND, HTTPStatus.SEE_OTHER,
        HTTPStatus.TEMPORARY_REDIRECT, HTTPStatus.PERMANENT_REDIRECT,
    }
)  # fmt: skip
_REPEATED: Final = frozenset({HTTPStatus.TEMPORARY_REDIRECT, HTTPStatus.PERMANENT_REDIRECT})
_SECRET: Final = frozenset({"authorization", "cookie", "proxy-authorization"})


@dataclass(frozen=True, slots=True)
class RequestPolicy:
    """`mode` and `domains` are the crew's, None without one; `targets` are the routine's."""

    mode: NetworkMode | None = None
    domains: Sequence[str] = ()
    targets: Sequence[str] = ()

    def check(self, url: str) -> None:
        """Raises StepError for a host that is not permitted."""
        try:
            parts = urlsplit(url)
            host = (parts.hostname or "").removesuffix(".").lower()
        except ValueError:
            raise StepError("the URL is not valid", final=True) from None
        if parts.scheme not in ("http", "https") or not host:
            raise StepError("the URL must begin with http:// or https://, and name a host", final=True)
        if not self._permits(host):
            raise StepError(f"the network of the crew does not permit {host}", final=True)
        if self.targets and not any(_is_below(host, target) for target in self.targets):
            raise StepError(f"{host} is not among the routine's egress_targets", final=True)

    def _permits(self, host: str) -> bool:
        if host in ALWAYS_ALLOWED:
            return True
        if self.mode is NetworkMode.restricted:
            return any(_matches(host, entry.strip().lower()) for entry in self.domains)
        return bool(self.targets)


def _matches(host: str, entry: str) -> bool:
    """A domain of a crew matches itself, and with `*.` subdomains alone."""
    return host.endswith(entry[1:]) and host != entry[2:] if entry.startswith("*.") else host == entry


def _is_below(host: str, target: str) -> bool:
    name = target.strip().lower().removesuffix(".").removeprefix("*.")
    return host == name or host.endswith(f".{name}")


async def send(step: HttpStep, values: Values, key: str, policy: RequestPolicy) -> str:
    """The body of the answer. `key` lets the receiver recognise a repeated request. Raises StepError."""
    said = step.http
    url, method = render(said.url, values).strip(), said.method.upper()
    if not url:
        raise StepError("the URL is empty", final=True)
    headers = {name.strip().lower(): render(text, values) for name, text in said.headers.items()}
    body = None if said.body is None else render(said.body, values).encode(errors="replace")
    if body and "content-type" not in headers:
        headers["content-type"] = "application/json"
    if method not in _SAFE:
        headers.setdefault(KEY, key)
    headers[RUN] = key.partition("/")[0]
    seconds = min(step.timeout_seconds, LONGEST_TIMEOUT) if step.timeout_seconds > 0 else TIMEOUT
    reach = Policy.PRIVATE_TOO if instance.settings.hooks_allow_private else Policy.PUBLIC
    try:
        async with instance.http(reach, timeout=seconds, most=said.max_response_bytes + 1, cut=True) as http:
            answer = await _followed(http, method, url, headers, body, policy)
    except Refusal as refusal:
        raise StepError(refusal.detail) from None
    shown = _shown(answer.body, said.max_response_bytes)
    if answer.status not in said.success_codes:
        raise StepError(f"{method} {urlsplit(url).hostname} got HTTP {answer.status} {shown[:SHOWN]}".strip())
    return shown


async def _followed(
    http: Outbound, method: str, url: str, headers: Mapping[str, str], body: bytes | None, policy: RequestPolicy
) -> Answered:
    for _ in range(REDIRECTS + 1):
        policy.check(url)
        answer = await http.request(method, url, headers=headers, content=body)
        place = answer.headers.get("location")
        if answer.status not in _REDIRECTS or not place:
            return answer
        following = urljoin(url, place)
        if urlsplit(following)[:2] != urlsplit(url)[:2]:  # another server learns no secrets
            headers = {name: value for name, value in headers.items() if name not in _SECRET}
        if answer.status not in _REPEATED and method not in _SAFE:
            method, body = "GET", None
            headers = {name: value for name, value in headers.items() if name not in ("content-type", KEY)}
        url = following
    raise StepError(f"the request was redirected more than {REDIRECTS} times")


def _shown(body: bytes, most: int) -> str:
    text = body[:most].decode(errors="replace").replace("\0", "")
    return text + TRUNCATED if len(body) > most else text
