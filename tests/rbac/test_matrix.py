"""Every operation x everybody x both surfaces: the result its action's gate says, and refusals write nothing."""

from pathlib import Path
from typing import Any

import pytest

from models.base import TenantRow
from models.people.workspaces import Role
from resolvers.errors import Code
from resolvers.kernel.admission.gate import Entity, Tenancy
from resolvers.kernel.declarations.operation import Auth, Operation
from resolvers.kernel.ground.policy import GATES, Action
from tests.contract.notation import routes
from tests.generation.domains import ANONYMOUS, PROSE, recipe_of
from tests.generation.estate import Estate
from tests.generation.inputs import bodyless, references, valid
from tests.generation.registry import operations, surfaces_of

pytestmark = pytest.mark.anyio

ROLES = {role.value.lower(): role for role in Role}
EVERYBODY = ["anonymous", "outsider", "nobody", *reversed(ROLES)]
REFUSED: set[Code | None] = {Code.UNAUTHENTICATED, Code.FORBIDDEN, Code.NOT_FOUND}
CASES = [
    pytest.param(op, surface, id=f"{op.name}-{surface}")
    for op in operations()
    if op.auth is not Auth.NONE
    for surface in surfaces_of(op)
]


def expected(op: Operation[Any], who: str, surface: str) -> set[Code | None]:
    """The codes one of which must come; None is success."""
    recipe = recipe_of(op.name)
    if op.auth is not Auth.USER:
        return REFUSED  # no user's token opens what is not for users
    if who == "anonymous":
        return {Code.UNAUTHENTICATED}
    if op.tenancy is Tenancy.NONE:
        if op.name in PROSE and who != recipe.person:  # of a role in a workspace that is not named, and may not be
            return {recipe.refused, Code.FORBIDDEN, Code.BAD_REQUEST}
        own = who == recipe.person or not references(op)
        return {recipe.refused} if own else {Code.NOT_FOUND, Code.FORBIDDEN}
    if who not in ROLES and isinstance(op.tenancy, Entity) and op.tenancy.lenient:
        # With nothing in it, as for an id nobody has: tests/tenant. A workspace named beside it has to be theirs.
        return {Code.FORBIDDEN if surface == "rest" else None}
    if who not in ROLES:
        return {Code.NOT_FOUND if isinstance(op.tenancy, Entity) else Code.FORBIDDEN}
    if ROLES[who] not in GATES[op.action]:
        return {Code.FORBIDDEN}
    if is_of_one_person(op) and who != recipe.person:
        return {Code.NOT_FOUND}
    if op.name in PROSE and who != recipe.person:
        return {recipe.refused, Code.FORBIDDEN}
    return {recipe.refused}


def is_of_one_person(op: Operation[Any]) -> bool:
    """Whether it names a row that is a person's and no workspace's: nobody else finds it."""
    subject = getattr(op, "subject", None)
    return op.action is Action.SELF and subject is not None and not issubclass(subject.model, TenantRow)


@pytest.mark.parametrize(("op", "surface"), CASES)
async def test_the_gate(op: Operation[Any], surface: str, estate: Estate) -> None:
    wrong = []
    for who in EVERYBODY:
        person = None if who == "anonymous" else estate.person(who)
        outcome = await estate.call(surface, op, valid(op, estate), person, depth=1)
        code = Code(outcome.code) if outcome.code else None
        if code not in expected(op, who, surface) or (code is not None and outcome.changes):
            wrong.append(f"{who}: {outcome}")
    assert wrong == []


@pytest.mark.parametrize(
    ("op", "surface"),
    [
        pytest.param(op, s, id=f"{op.name}-{s}")
        for op in operations()
        if Role.VIEWER not in GATES[op.action]
        for s in surfaces_of(op)
    ],
)
async def test_who_may_not_learns_nothing_of_a_bad_body(op: Operation[Any], surface: str, estate: Estate) -> None:
    """The gate stands before the input: 403, whatever was sent."""
    raw = valid(op, estate)
    broken = raw | {
        name: "\0" for name in raw if surface == "rest" and name not in bodyless(op) and name not in references(op)
    }
    assert (await estate.call(surface, op, broken, estate.person("viewer"))).code == Code.FORBIDDEN


def test_nobody_calls_without_a_credential_but_on_purpose() -> None:
    assert {op.name for op in operations() if op.auth is Auth.NONE} - ANONYMOUS == set()


def test_the_list_of_anonymous_operations_is_the_contract_s() -> None:
    without = {route["id"] for _, route in routes() if route.get("auth") == "none"}
    of_our_own = {
        "auth.email_confirm",
        "decision_links.decide",
        "decision_links.show",
        "auth.oidc_callback",
        "auth.oidc_redirect",
        "auth.passkey_sign_in",
        "auth.passkey_sign_in_options",
        "auth.sign_in_providers",
        "invitations.signup",
        "oauth.callback_loopback",
    }
    assert ANONYMOUS - without == {"ops.metrics"} | of_our_own


def test_a_role_in_prose_has_a_test_of_its_own() -> None:
    """A write open to every member is decided by a guard; the domain that lists it tests that."""
    served = {op.name: op for op in operations()}
    assert {name for name, op in served.items() if op.action is Action.PARTICIPATE} - set(PROSE) == set()
    for name, domain in PROSE.items():
        if name in served:
            assert list(Path(__file__).parents[1].glob(f"*/{domain}/**/test_*.py")), f"{name}: no tests in {domain}"
