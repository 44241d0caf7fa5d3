"""Refusals of operations: a closed set of codes, a text for people, and the faulty fields."""

from enum import StrEnum
from typing import Any, NamedTuple


class Code(StrEnum):
    """The kinds of errors, shared by both surfaces. `rest_compat/http/errors.py` has the REST status of each."""

    BAD_REQUEST = "BAD_REQUEST"
    UNAUTHENTICATED = "UNAUTHENTICATED"
    PAYMENT_REQUIRED = "PAYMENT_REQUIRED"
    FORBIDDEN = "FORBIDDEN"
    NOT_FOUND = "NOT_FOUND"
    NOT_OFFERED = "NOT_OFFERED"
    CONFLICT = "CONFLICT"
    GONE = "GONE"
    PRECONDITION_FAILED = "PRECONDITION_FAILED"
    TOO_LARGE = "TOO_LARGE"
    UNSUPPORTED_MEDIA_TYPE = "UNSUPPORTED_MEDIA_TYPE"
    UNPROCESSABLE = "UNPROCESSABLE"
    LOCKED = "LOCKED"
    RATE_LIMITED = "RATE_LIMITED"
    INTERNAL = "INTERNAL"
    BAD_GATEWAY = "BAD_GATEWAY"
    UNAVAILABLE = "UNAVAILABLE"


class Reason(StrEnum):
    """Why a credential was refused; clients act on these four strings (contract: auth.failure.reasons)."""

    no_credentials = "no_credentials"
    session_expired = "session_expired"
    session_revoked = "session_revoked"
    session_invalid = "session_invalid"


class Requires(NamedTuple):
    """The rights that open an operation: this role or one above it, or the capability in place of it; and for a token
    with scopes the scopes, separated by blanks as in RFC 6750. None, if the refusal has another reason.
    """

    role: str | None = None
    capability: str | None = None
    scope: str | None = None


UNSTORABLE = "A value is out of range, or cannot be stored"
TOO_LONG = "A value is longer than can be stored"


class Refusal(Exception):
    """An expected "no". Rolls the operation back, unless `commit` (an operation that declares `writes_on_refusal`).

    `constraint`: the unique key that was taken; `taken`: its columns, if the operation looked for itself. `about`:
    fields that GraphQL names, if the input has them, where REST names none.
    `ends_session`: the browser's session will never be good again. `requires`: what a caller who is FORBIDDEN lacks.
    """

    def __init__(
        self,
        code: Code,
        detail: str,
        *,
        reason: str | None = None,
        fields: dict[str, str] | None = None,
        extra: dict[str, Any] | None = None,
        commit: bool = False,
        constraint: str | None = None,
        taken: tuple[str, ...] = (),
        about: tuple[str, ...] = (),
        ends_session: bool = False,
        requires: Requires = Requires(),
    ) -> None:
        super().__init__(detail)
        self.requires, self.taken, self.about = requires, taken, about
        self.constraint, self.ends_session = constraint, ends_session
        self.code, self.detail, self.reason, self.fields, self.extra, self.commit = (
            code,
            detail,
            reason,
            fields or {},
            extra or {},
            commit,
        )

    def with_fields(self, fields: dict[str, str], extra: dict[str, Any]) -> "Refusal":
        """The same refusal with other fields and more data."""
        return Refusal(
            self.code,
            self.detail,
            reason=self.reason,
            fields=fields,
            extra=self.extra | extra,
            commit=self.commit,
            constraint=self.constraint,
            taken=self.taken,
            about=self.about,
            ends_session=self.ends_session,
            requires=self.requires,
        )

    @property
    def extensions(self) -> dict[str, Any]:
        """The data that GraphQL clients get beside the text: `code`, `requires` if it is FORBIDDEN, and `fields` and
        `reason` if there are any.
        """
        more: dict[str, Any] = {"code": self.code.value, **self.extra}
        if self.reason:
            more["reason"] = self.reason
        if self.fields:
            more["fields"] = self.fields
        if self.code is Code.FORBIDDEN:
            more["requires"] = self.requires._asdict()
        return more


def invalid(field: str, problem: str) -> Refusal:
    """The refusal of one field. Text of the client inside `problem` is cut, and free of what cannot be printed."""
    return Refusal(Code.BAD_REQUEST, f"{field}: {problem}", fields={field: problem})


def unauthenticated(reason: Reason, *, ends_session: bool = False) -> Refusal:
    return Refusal(Code.UNAUTHENTICATED, reason.value, reason=reason.value, ends_session=ends_session)


def forbidden(
    detail: str = "Forbidden", *, role: str | None = None, capability: str | None = None, scope: str | None = None
) -> Refusal:
    """`role`, `capability`, `scope`: what would do, see Requires; a refusal without a text of its own names one."""
    return Refusal(Code.FORBIDDEN, detail, requires=Requires(role, capability, scope))
