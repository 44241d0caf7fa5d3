"""Probes of values: one call that the provider documents for this purpose (contract: credentials, probes)."""

import re
from dataclasses import dataclass
from typing import Annotated, Final
from urllib.parse import quote

from models.resources.credentials import CredentialType
from resolvers.instance.outbound import Policy
from resolvers.kernel import Absent, Context, Output, Refusal

TIMEOUT, LARGEST_ANSWER = 10, 64 * 1024
ONE_LINE = re.compile(r"[\x21-\x7e]+")
BY_LOGIN = "sk-ant-oat"
UNTESTED: Final = ("ANTHROPIC", CredentialType.AI_CLI_TOKEN.value)
NO_CHECK = "Keys of this provider cannot be tested"
THROTTLED = "The provider accepts the key but currently refuses its calls"
LATER = "Login tokens cannot be tested in advance; the first run uses it"
NO_VALUE = "The credential has no value yet"
UNSENDABLE = "The value has characters that are not allowed in a key"
INVALID, REVOKED, FEW_SCOPES = "The provider does not know the key", "The key was revoked", "The key lacks scopes"


class TestResult(Output):
    """`status` is the provider's status code; 0 if no provider was asked or answered. `error` can be a remark on a
    valid value. `supported` is false if no check exists, so that a valid result means nothing.
    """

    valid: bool
    status: int = 0
    supported: bool = True
    error: Annotated[str | None, Absent()] = None


@dataclass(frozen=True, slots=True)
class Probe:
    """`header` is sent with the value behind its prefix; without one the value is a part of the URL."""

    url: str
    header: str | None = "authorization"
    prefix: str = "Bearer "
    ok: frozenset[int] = frozenset({200})
    bad: tuple[tuple[int, str], ...] = ()
    others: tuple[tuple[str, str], ...] = ()


PROBES: Final[dict[str, Probe]] = {
    "ANTHROPIC": Probe(
        "https://api.anthropic.com/v1/models",
        "x-api-key",
        "",
        frozenset({200, 429}),
        ((401, INVALID), (403, REVOKED)),
        (("anthropic-version", "2023-06-01"),),
    ),
    "OPENAI": Probe("https://api.openai.com/v1/models"),
    "GOOGLE": Probe("https://generativelanguage.googleapis.com/v1/models?key=", None),
    "CURSOR": Probe("https://api2.cursor.sh/v0/me", bad=((401, INVALID), (403, "The plan has no access to the API"))),
    "FACTORY": Probe("https://app.factory.ai/api/cli/auth/whoami"),
    "GITHUB": Probe(
        "https://api.github.com/user",
        bad=((401, INVALID), (403, FEW_SCOPES)),
        others=(("user-agent", "Crewship/1.0"),),
    ),
    "GITLAB": Probe("https://gitlab.com/api/v4/user", "private-token", "", bad=((401, INVALID), (403, FEW_SCOPES))),
    "VERCEL": Probe("https://api.vercel.com/v2/user", bad=((401, INVALID), (403, INVALID))),
}


def is_testable(provider: str, type: str) -> bool:
    """True if a provider can be asked about values of this type."""
    if type == CredentialType.ENDPOINT_URL.value:
        return True
    return provider in PROBES and (provider, type) != UNTESTED


async def probed(ctx: Context, provider: str, type: str | None, value: str | None) -> TestResult:
    """Asks the provider, outside any transaction. No text says anything of the value."""
    probe = PROBES.get(provider)
    if probe is None:
        return TestResult(valid=True, supported=False, error=NO_CHECK)
    if value is None:
        return TestResult(valid=False, error=NO_VALUE)
    if (provider, type) == UNTESTED or (provider == "ANTHROPIC" and value.startswith(BY_LOGIN)):
        return TestResult(valid=True, supported=False, error=LATER)
    if ONE_LINE.fullmatch(value) is None:
        return TestResult(valid=False, error=UNSENDABLE)
    headers = dict(probe.others)
    if probe.header is not None:
        headers[probe.header] = probe.prefix + value
    url = probe.url if probe.header is not None else probe.url + quote(value, safe="")
    try:
        async with ctx.outside.http(Policy.PRIVATE_TOO, timeout=TIMEOUT, most=LARGEST_ANSWER, cut=True) as http:
            answer = await http.get(url, headers=headers)
    except Refusal as refusal:
        return TestResult(valid=False, error=refusal.detail)
    if answer.status in probe.ok:
        return TestResult(valid=True, status=answer.status, error=THROTTLED if answer.status == 429 else None)
    said = dict(probe.bad).get(answer.status, f"The provider answers {answer.status}")
    return TestResult(valid=False, status=answer.status, error=said)
