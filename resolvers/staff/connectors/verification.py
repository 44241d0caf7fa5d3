"""The check of a form's values with the provider: one request, without storing anything."""

from typing import Annotated, Final

from pydantic import Field

from resolvers.kernel import Absent, Action, Code, Context, Output, Refusal, instance, procedure
from resolvers.resources.integrations.testing import policy
from resolvers.rules.mcp_endpoint import endpoint_fault
from resolvers.staff.connectors.catalog import ByConnector, connector_of
from resolvers.staff.connectors.forms import Filling, Values, complete, given
from resolvers.staff.connectors.manifest import STATUS, AuthMode, Connector

TIMEOUT, SHOWN = 10, 512
CHECKED: Final = (AuthMode.pat, AuthMode.conn_string)
HIDDEN: Final = "***"


class VerifyConnector(ByConnector):
    """`fields`: key -> value. Defaults of the form are not filled in."""

    fields: Values = Field(default={}, repr=False)


class VerifyResult(Output):
    """The result of the test; `message` gives the reason for a refusal."""

    ok: bool
    message: Annotated[str | None, Absent()] = None


@procedure("connectors.verify", Action.CREATE, errors=(Code.NOT_FOUND,), late=True)
async def verify_connector(ctx: Context, data: VerifyConnector) -> VerifyResult:
    """Check the values for a connector with its provider.

    The answer reports a refusal or an unreachable provider; that is not an error. Nothing is stored. Connectors
    without a test return ok.
    """
    connector = connector_of(data.connector_id)
    if connector.auth_mode not in CHECKED:
        return VerifyResult(ok=True)
    values = complete(connector, given(connector, data.fields), defaults=False)
    if connector.verify is None or connector.verify.http is None:
        return VerifyResult(ok=True)
    message = await _asked(ctx, connector, Filling(connector, values, instance_url(ctx)))
    for value in sorted(filter(None, values.values()), key=len, reverse=True):
        message = message and message.replace(value, HIDDEN)
    return VerifyResult(ok=message is None, message=message)


def instance_url(ctx: Context) -> str:
    return instance.settings.public_url or ctx.caller.origin


async def _asked(ctx: Context, connector: Connector, filling: Filling) -> str | None:
    """The fault, or None."""
    assert connector.verify is not None
    request = connector.verify.http
    assert request is not None
    url = filling.text(request.url)
    if (fault := endpoint_fault(url, private=instance.settings.mcp_allow_private)) is not None:
        return f"The URL {fault}"
    headers = {name: filling.text(value) for name, value in (request.headers or {}).items()}
    try:
        async with ctx.outside.http(policy(), timeout=TIMEOUT, most=SHOWN, cut=True) as http:
            answer = await http.request(request.method, url, headers=headers)
    except Refusal as refusal:
        return refusal.detail
    if answer.status == (request.expect_status or STATUS):
        return None
    said = answer.body.decode(errors="replace").replace("\0", "").strip()
    return f"The provider answers {answer.status}{': ' if said else ''}{said}"
