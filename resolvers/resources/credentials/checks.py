"""Checks of values with their provider: a value from the request, or the stored one."""

from typing import Annotated

from pydantic import Field

from models import bounds
from models.resources.credentials import Credential, CredentialEventType, CredentialType
from resolvers.kernel import Action, ById, Code, Context, Input, Tenancy, Text, command, procedure
from resolvers.resources.credentials.credentials import CREDENTIAL
from resolvers.resources.credentials.endpoints import asked, form_of
from resolvers.resources.credentials.probes import TestResult, probed
from resolvers.resources.credentials.references import value_of
from resolvers.resources.credentials.vault import tell


class TestValue(Input):
    """The result of the test; it is not stored."""

    value: Annotated[str, Field(strict=True, min_length=1, max_length=bounds.PROMPT, repr=False)]
    provider: Text = ""
    type: Text = ""


@procedure("credentials.test_value", Action.NONE, tenancy=Tenancy.NONE, late=True)
async def test_value(ctx: Context, data: TestValue) -> TestResult:
    """Check a value with its provider.

    Asks the provider; of an ENDPOINT_URL, only the form is checked. A refused value is reported in the answer; it is
    not an error. Nothing is stored.
    """
    if data.type == CredentialType.ENDPOINT_URL:
        return form_of(data.value)
    return await probed(ctx, data.provider, data.type, data.value)


@command(
    "credentials.test_stored",
    Action.UPDATE,
    audit="credential.tested",
    subject=CREDENTIAL,
    errors=(Code.BAD_GATEWAY,),
    late=True,
)
async def test_stored(ctx: Context, credential: Credential, data: ById) -> TestResult:
    """Test a credential.

    Asks the provider, or the endpoint for its models, with the stored value. The result is recorded in the timeline;
    the credential is unchanged.
    """
    value = None
    if credential.value is not None:
        value = (await value_of(credential.id, credential.value, credential.secret_ref)).reveal()
    if credential.type is CredentialType.ENDPOINT_URL and value is not None:
        result = await asked(ctx, value)
    else:
        result = await probed(ctx, credential.provider, credential.type.value, value)
    await ctx.begin()
    kept = await ctx.get(Credential, credential.id)
    told = {"valid": result.valid} | ({} if result.error is None else {"error": result.error})
    tell(ctx, kept.id, CredentialEventType.TEST, None, **told)
    ctx.audit("CREDENTIAL", kept.id, valid=result.valid, status=result.status)
    return result
