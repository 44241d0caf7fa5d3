"""The credentials of an agent's run: values by the name of their variable."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from pydantic import SecretStr
from sqlalchemy import func, or_, select
from sqlmodel import col

from models.resources.credentials import (
    Credential,
    CredentialCrew,
    CredentialEvent,
    CredentialEventType,
    CredentialRotation,
    CredentialScope,
    CredentialStatus,
    CredentialType,
    RotationStatus,
)
from models.sealed import Sealed
from resolvers.instance.vault import Unopenable
from resolvers.kernel import NOW, AcrossWorkspaces, across_workspaces, constant, instance, interval, log
from resolvers.kernel.store.across import Everywhere, has_secret
from resolvers.resources.credentials.delivery import GivenCredential, delivered, is_held, offered_to
from resolvers.resources.credentials.fields import fields_of, values_of_fields
from resolvers.resources.credentials.references import values_of
from resolvers.resources.credentials.variables import is_free

LARGEST = 100_000  # bytes: the kernel takes no longer variable than 128 KiB
SECRET = ("type", "provider", "value", "secret_ref")
MOST_NAMED = 100


class GivenKind(StrEnum):
    """Fields are secret or clear; a clear one may be shown."""

    value = "value"
    secret_field = "secret_field"
    clear_field = "clear_field"


@dataclass(frozen=True, slots=True)
class Given:
    """One value of a run. `variable` is empty where its name is invalid that a program could be given. `kind`: whether
    it is the value of a credential, or a field of one.
    """

    credential_id: str
    type: str
    provider: str
    variable: str
    value: str = field(repr=False)
    kind: GivenKind = GivenKind.value


async def given_to(workspace_id: str, agent_id: str) -> list[Given]:
    """The agent's credentials by priority, assignments before bindings, and these before links of the crew; among
    equals the least recently used comes first. The fields of each follow. Each use is added to the timeline, once a
    minute. Credentials that cannot be opened, or that their store does not return, are left out.
    """

    async def find(rows: AcrossWorkspaces) -> tuple[list[GivenCredential], list[Any]]:
        here = rows.within(workspace_id)
        offered = await here.report(offered_to(here.table, agent_id, *SECRET))
        found = [each for each in delivered(offered)[0] if each.row["value"] is not None]
        ids = list(dict.fromkeys(each.row["id"] for each in found))
        await note_uses(here, ids, agent_id, "run")
        named = [each.row["id"] for each in found if each.variable]
        return found, await fields_of(here, named)

    found, fields = await across_workspaces(find)
    values = await values_of([each.row for each in found])
    pairs = [(each, value) for each, value in zip(found, values, strict=True) if value is not None]
    given = [_given(each, value) for each, value in pairs]
    return given + await _given_fields(given, fields)


async def still_given(
    workspace_id: str, agent_id: str, given: Sequence[Given], *, on_runners: bool = False
) -> list[Given]:
    """The credentials of a run that the agent still holds; credentials that were removed meanwhile are left out.
    `on_runners`: only those that may leave the server for a runner.
    """
    if not given:
        return []
    ids = list(dict.fromkeys(each.credential_id for each in given))

    async def find(rows: AcrossWorkspaces) -> list[Any]:
        here = rows.within(workspace_id)
        secret = here.table(Credential, "id", "status", "on_runners").c
        allowed = (secret.id.in_(ids), secret.on_runners) if on_runners else (secret.id.in_(ids),)
        return await here.report(select(secret.id).where(is_held(here.table, secret, agent_id), *allowed))

    held = {row["id"] for row in await across_workspaces(find)}
    return [each for each in given if each.credential_id in held]


async def named_for(workspace_id: str, crew_id: str, names: Sequence[str]) -> dict[str, str]:
    """Values of credentials that services of a crew name, as far as the crew sees them and they are good."""

    async def find(rows: AcrossWorkspaces) -> list[Any]:
        here, name = rows.within(workspace_id), col(Credential.name)
        seen = here.table(CredentialCrew, "id", "credential_id", "crew_id").c
        of_crew = select(seen.id).where(seen.credential_id == col(Credential.id), seen.crew_id == crew_id)
        return await here.select(
            Credential,
            name.in_(list(names)),
            col(Credential.status) == constant(CredentialStatus.ACTIVE),
            has_secret(Credential.value),
            or_(col(Credential.scope) != constant(CredentialScope.CREW), of_crew.exists()),
            columns=("id", "name", "value", "secret_ref"),
            order_by=(col(Credential.created_at).desc(), col(Credential.id)),
            limit=MOST_NAMED,
        )

    rows = await across_workspaces(find) if names else []
    found = zip(rows, await values_of(rows), strict=True)
    return {row["name"]: value for row, value in found if value is not None and "\0" not in value}


async def value_before(workspace_id: str, credential_id: str) -> SecretStr | None:
    """The value before the last rotation while it is valid, for runs whose new value is refused. None if the value is
    in another store, because there only the store's token was rotated.
    """

    async def find(rows: AcrossWorkspaces) -> list[Any]:
        here = rows.within(workspace_id)
        rotation, secret = here.table(CredentialRotation).c, here.table(Credential, "id", "secret_ref").c
        return await here.report(
            select(rotation.id, rotation.old_value)
            .where(
                secret.id == rotation.credential_id,
                secret.secret_ref.is_(None),
                rotation.credential_id == credential_id,
                rotation.status == constant(RotationStatus.ACTIVE),
                rotation.expires_at > func.now(),
                has_secret(rotation.old_value),
            )
            .order_by(rotation.rotated_at.desc(), rotation.id.desc())
            .limit(1)
        )

    for row in await across_workspaces(find):
        try:
            old = await instance.vault.open(
                Sealed(row["old_value"]), table=CredentialRotation, column="old_value", row_id=row["id"]
            )
        except Unopenable:
            log.warning("credential cannot be opened", credential_id=credential_id, column="old_value")
        else:
            log.warning(
                "the provider refused a rotated credential; using the previous value", credential_id=credential_id
            )
            return SecretStr(old.reveal())
    return None


async def tell_use(workspace_id: str, agent_id: str | None, ids: Sequence[str], source: str = "run") -> None:
    """On the timelines of credentials that are given otherwise: what MCP servers get."""
    await across_workspaces(lambda rows: note_uses(rows.within(workspace_id), ids, agent_id, source))


async def note_uses(tables: Everywhere, ids: Sequence[str], agent_id: str | None, source: str) -> None:
    """Records the uses of credentials that had none within the last minute."""
    if not ids:
        return
    before = col(Credential.last_used_at)
    used = await tables.update_where(
        Credential,
        col(Credential.id).in_(list(ids)),
        or_(before.is_(None), before < func.now() - interval(seconds=60)),
        including_deleted=True,
        last_used_at=NOW,
    )
    events = list[CredentialEvent]()
    for row in used:
        event = CredentialEvent(
            credential_id=row["id"], event_type=CredentialEventType.USE, agent_id=agent_id, details={"source": source}
        )
        event.workspace_id = row["workspace_id"]
        events.append(event)
    await tables.insert_all(events)


def _given(each: GivenCredential, value: str) -> Given:
    row = each.row
    return Given(row["id"], row["type"], row["provider"], each.variable if _fits(value) else "", value)


def _fits(value: str) -> bool:
    return "\0" not in value and len(value.encode()) <= LARGEST


async def _given_fields(given: Sequence[Given], fields: Sequence[Any]) -> list[Given]:
    """The fields of delivered credentials, in variables that begin with the credential's; a variable that is taken is
    left out.
    """
    taken, own = {each.variable for each in given}, set[str]()
    values = await values_of_fields(fields)
    of_credential = dict[str, list[tuple[Any, str]]]()
    for row, value in zip(fields, values, strict=True):
        if value is not None and _fits(value):
            of_credential.setdefault(row["credential_id"], []).append((row, value))
    made = list[Given]()
    for each in given:
        if each.variable in own:  # of a pool, the fields belong to the value that is in the variable
            continue
        own.add(each.variable)
        for row, value in of_credential.get(each.credential_id, ()) if each.variable else ():
            variable = f"{each.variable}_{row['key'].upper()}"
            if is_free(variable) and variable not in taken:
                taken.add(variable)
                kind = GivenKind.secret_field if row["is_secret"] else GivenKind.clear_field
                made.append(Given(each.credential_id, each.type, "", variable, value, kind))
    return made


def environment(given: Sequence[Given], *, guarded: bool = False) -> dict[str, str]:
    """The variables of a run: among credentials with one name the preferred one.

    `guarded`: no variable contains a SECRET or a field of one. It is used by the keeper's permission, one command at a
    time.
    """
    shown = [each for each in given if each.variable and not (guarded and each.type == CredentialType.SECRET.value)]
    return {each.variable: each.value for each in reversed(shown)}
