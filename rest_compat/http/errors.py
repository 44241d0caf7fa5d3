"""Refusals as HTTP: the one place that knows which code is which status."""

from resolvers.errors import Code, Refusal
from resolvers.problem import problem

STATUS: dict[Code, int] = {
    Code.BAD_REQUEST: 400,
    Code.UNAUTHENTICATED: 401,
    Code.PAYMENT_REQUIRED: 402,
    Code.FORBIDDEN: 403,
    Code.NOT_FOUND: 404,
    Code.NOT_OFFERED: 405,
    Code.CONFLICT: 409,
    Code.GONE: 410,
    Code.PRECONDITION_FAILED: 412,
    Code.TOO_LARGE: 413,
    Code.UNSUPPORTED_MEDIA_TYPE: 415,
    Code.UNPROCESSABLE: 422,
    Code.LOCKED: 423,
    Code.RATE_LIMITED: 429,
    Code.INTERNAL: 500,
    Code.BAD_GATEWAY: 502,
    Code.UNAVAILABLE: 503,
}

Headers = list[tuple[bytes, bytes]]

JSON = (b"content-type", b"application/json")
PROBLEM = (b"content-type", b"application/problem+json")
PROTECTED = "protected"
"""The reason whose refusals have a media type of their own (contract: instance_settings.delete). A reason `kind/code`
has it, too, with a type and a code in the body (contract: issues); all others, such as a missing role, are
application/json.
"""
PROBLEMS = "https://crewship.ai/problems/"


def refused(refusal: Refusal, path: str) -> tuple[int, bytes, Headers]:
    """Status, body and headers (contract: errors.superset, auth.failure)."""
    status = STATUS[refusal.code]
    extra = refusal.extra | ({"fields": refusal.fields} if refusal.fields else {})
    kind, _, code = (refusal.reason or "").partition("/")
    if code:
        extra = extra | {"type": f"{PROBLEMS}{kind}/{code}", "code": code}
    headers: Headers = [PROBLEM if refusal.reason == PROTECTED or code else JSON]
    if refusal.code is Code.UNAUTHENTICATED:
        headers.append(
            (b"www-authenticate", f'Bearer error="{refusal.reason}"'.encode() if refusal.reason else b"Bearer")
        )
    elif refusal.code in (Code.RATE_LIMITED, Code.UNAVAILABLE):
        headers.append((b"retry-after", str(refusal.extra.get("retry_after", 1)).encode()))
    return status, problem(status, refusal.detail, path, extra), headers
