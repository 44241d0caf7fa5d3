"""Integrations and credentials that a routine declares, which a run cannot do without."""

from collections.abc import Sequence

from sqlalchemy import func, or_, select

from models.resources.credentials import Credential, CredentialCrew, CredentialStatus
from models.resources.integrations import CrewIntegration
from resolvers.kernel import Code, Context, Refusal


async def check_needs(
    ctx: Context, crew_id: str | None, integrations: Sequence[str], credentials: Sequence[str]
) -> None:
    """Refuses a run without the integrations and credentials that its definition declares. `crew_id`: the author."""
    if integrations and crew_id is not None:
        servers = ctx.table(CrewIntegration)
        names = select(func.lower(servers.c.name)).where(servers.c.crew_id == crew_id, servers.c.enabled)
        known = {row[0] for row in await ctx.report(names)}
        if missing := [name for name in integrations if name not in known]:
            raise Refusal(
                Code.UNPROCESSABLE,
                "The crew lacks integrations of the routine",
                extra={"missing_integrations": missing},
            )
    if credentials:
        found, link = ctx.table(Credential), ctx.table(CredentialCrew)
        crews = select(link.c.crew_id).where(link.c.credential_id == found.c.id)
        reachable = or_(~crews.exists(), crews.where(link.c.crew_id == (crew_id or "")).exists())
        types = select(found.c.type).where(found.c.status == CredentialStatus.ACTIVE, reachable).distinct()
        known = {row[0] for row in await ctx.report(types)}
        if missing := [type_ for type_ in credentials if type_ not in known]:
            raise Refusal(
                Code.UNPROCESSABLE, "Credentials of the routine are missing", extra={"missing_credentials": missing}
            )
