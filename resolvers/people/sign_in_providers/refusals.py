"""Reasons for a refused sign-in, as codes of Auth.js for the login page."""

from resolvers.kernel import Code, Refusal

DENIED, NOT_LINKED, NO_ACCOUNT = "AccessDenied", "OAuthAccountNotLinked", "OAuthCreateAccount"


def turned_away(detail: str, reason: str) -> Refusal:
    """The refusal of a person whom the provider does not admit."""
    return Refusal(Code.FORBIDDEN, detail, reason=reason)
