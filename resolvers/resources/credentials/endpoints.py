"""Values of type ENDPOINT_URL: the address of a server of models, alone or with what opens it."""

import json
import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from resolvers.instance.addresses import parse_address
from resolvers.instance.outbound import Policy
from resolvers.kernel import Context, Refusal, instance, invalid
from resolvers.resources.credentials.probes import LARGEST_ANSWER, TIMEOUT, TestResult

LONGEST: Final = 2048  # bytes
MOST_HEADERS: Final = 32
NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}")
PRINTABLE: Final = re.compile(r"[\x20-\x7e]{0,2048}")
ADDRESS: Final = re.compile(r"[\x21-\x7e]+")
METADATA: Final = frozenset({"metadata.google.internal", "metadata", "fd00:ec2::254", "100.100.100.200"})
"""Names and addresses by which a machine in a cloud reads its own secrets."""
FORM: Final = "must be an http or https address, or JSON with baseURL, apiKey and headers"
NO_LOGIN: Final = "must not contain a user name or password"
NO_METADATA: Final = "must not be a link-local or metadata address"
IN_CLEAR: Final = "must be https: a key or headers are sent in clear to local addresses only"
BAD_HEADERS: Final = f"headers must be texts by name, at most {MOST_HEADERS}"
TOO_LONG: Final = f"must have at most {LONGEST:,} bytes"
REFUSED: Final = "The endpoint refuses the key"


class Endpoint(NamedTuple):
    """The parts of a value. `api_key` is empty if there is none."""

    base_url: str
    api_key: str
    headers: Mapping[str, str]

    def text(self) -> str:
        """The value to store: the address alone, if there is nothing else."""
        more = {"apiKey": self.api_key, "headers": dict(self.headers)}
        kept = {name: value for name, value in more.items() if value}
        return json.dumps({"baseURL": self.base_url} | kept, ensure_ascii=False) if kept else self.base_url


def endpoint_of(value: str, field: str = "value") -> Endpoint:
    """Raises BAD_REQUEST, whose text shows nothing of the value."""
    text = value.strip()
    if len(text.encode(errors="surrogatepass")) > LONGEST:
        raise invalid(field, TOO_LONG)
    made = _parsed(text, field) if text.startswith("{") else Endpoint(text, "", {})
    if (fault := _fault(made)) is not None:
        raise invalid(field, fault)
    return made


def merged(before: Endpoint, base_url: str | None, token: str | None, headers: Mapping[str, Any] | None) -> Endpoint:
    """The endpoint with other parts; absent ones stay."""
    made = Endpoint(
        before.base_url if base_url is None else base_url.strip(),
        before.api_key if token is None else token,
        before.headers if headers is None else _headers(headers, "endpoint_headers"),
    )
    if (fault := _fault(made)) is not None:
        raise invalid("endpoint_base_url", fault)
    return endpoint_of(made.text())


def _parsed(text: str, field: str) -> Endpoint:
    try:
        value: Any = json.loads(text)
    except (ValueError, RecursionError):
        raise invalid(field, FORM) from None
    base, key = value.get("baseURL"), value.get("apiKey") or ""
    if not isinstance(base, str) or not isinstance(key, str):
        raise invalid(field, FORM)
    return Endpoint(base.strip(), key, _headers(value.get("headers") or {}, field))


def _headers(given: Any, field: str) -> Mapping[str, str]:
    if not isinstance(given, Mapping) or len(given) > MOST_HEADERS:
        raise invalid(field, BAD_HEADERS)
    for name, text in given.items():
        if not NAME.fullmatch(name) or not isinstance(text, str) or not PRINTABLE.fullmatch(text):
            raise invalid(field, BAD_HEADERS)
    return dict(given)


def _fault(endpoint: Endpoint) -> str | None:
    url = endpoint.base_url
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return FORM
    if not ADDRESS.fullmatch(url) or parts.scheme not in ("http", "https") or not host:
        return FORM
    if "@" in parts.netloc:
        return NO_LOGIN
    address = parse_address(host)
    if host in METADATA or (address is not None and (address.is_link_local or str(address) in METADATA)):
        return NO_METADATA
    local = host == "localhost" or (address is not None and (address.is_loopback or address.is_private))
    if parts.scheme == "http" and (endpoint.api_key or endpoint.headers) and not local:
        return IN_CLEAR
    return None if PRINTABLE.fullmatch(endpoint.api_key) else FORM


def form_of(value: str) -> TestResult:
    """Checks the form alone: nothing is called."""
    try:
        endpoint_of(value)
    except Refusal as refusal:
        return TestResult(valid=False, error=refusal.detail)
    return TestResult(valid=True)


async def asked(ctx: Context, value: str) -> TestResult:
    """Asks the endpoint for its list of models."""
    try:
        endpoint = endpoint_of(value)
    except Refusal as refusal:
        return TestResult(valid=False, error=refusal.detail)
    headers = dict(endpoint.headers)
    if endpoint.api_key:
        headers.setdefault("authorization", f"Bearer {endpoint.api_key}")
    policy = Policy.PRIVATE_TOO if instance.settings.hooks_allow_private else Policy.PUBLIC
    try:
        async with ctx.outside.http(policy, timeout=TIMEOUT, most=LARGEST_ANSWER, cut=True) as http:
            answer = await http.get(f"{endpoint.base_url.rstrip('/')}/models", headers=headers)
    except Refusal as refusal:
        return TestResult(valid=False, error=refusal.detail)
    if answer.status == 200:
        return TestResult(valid=True, status=200)
    said = REFUSED if answer.status in (401, 403) else f"The endpoint answers {answer.status}"
    return TestResult(valid=False, status=answer.status, error=said)
