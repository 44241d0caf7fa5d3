"""Every operation x everybody: what its action's gate says, on both surfaces the same, and refusals write nothing."""

from pathlib import Path
from typing import Any
from zlib import crc32

import pytest

from models.base import TenantRow
from models.people.workspaces import Role
from resolvers.errors import Code
from resolvers.kernel.admission.gate import Entity, Tenancy
from resolvers.kernel.declarations.operation import Auth, Operation
from resolvers.kernel.ground.policy import GATES, Action
from resolvers.kernel.reader import access_of
from tests.contract.notation import routes
from tests.every import Faults, each_of
from tests.generation.domains import ANONYMOUS, PROSE, recipe_of
from tests.generation.estate import Estate
from tests.generation.inputs import bodyless, references, valid
from tests.generation.registry import operations, routes_of, surfaces_of
from tests.generation.test_caches import is_for_whoever_has_asked
from tests.parity.test_parity import difference, known
from tests.rbac.rights import rights_of

pytestmark = [pytest.mark.anyio, pytest.mark.thorough]

ROLES = {role.value.lower(): role for role in Role}
EVERYBODY = ["anonymous", "outsider", "nobody", *reversed(ROLES)]
REFUSED: set[Code | None] = {Code.UNAUTHENTICATED, Code.FORBIDDEN, Code.NOT_FOUND}
AT_BOTH_ENDS = ("anonymous", "outsider", "nobody", "viewer", "owner")
CALLED = [op for op in operations() if op.auth is not Auth.NONE and surfaces_of(op)]


def asked(op: Operation[Any], who: str) -> list[str]:
    """The surfaces on which this caller calls it: all, where least and most is allowed; of those between, one, which
    differs from operation to operation. The gate is the kernel's, and the surfaces are compared.
    """
    surfaces = surfaces_of(op)
    return surfaces if who in AT_BOTH_ENDS else [surfaces[crc32(f"{op.name} {who}".encode()) % len(surfaces)]]


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
    """True if the operation names a row that its owner alone reads: no other caller finds it."""
    subject = getattr(op, "subject", None)
    if op.action is not Action.SELF or subject is None:
        return False
    return not issubclass(subject.model, TenantRow) or access_of(subject.model).gate is Action.SELF


def is_refused_by_its_row(op: Operation[Any]) -> bool:
    """True if a rule about a row or the input refuses callers whom the gate admits."""
    return op.name in PROSE or recipe_of(op.name).refused is Code.FORBIDDEN


@each_of("op", CALLED)
async def test_the_gate(op: Operation[Any], estate: Estate) -> None:
    faults, lenient = Faults(), isinstance(op.tenancy, Entity) and op.tenancy.lenient
    for who in EVERYBODY:
        person, outcomes = None if who == "anonymous" else estate.person(who), []
        for surface in asked(op, who):
            with faults.of(f"{who} by {surface}"):
                outcomes.append(outcome := await estate.call(surface, op, valid(op, estate), person, depth=1))
                code = Code(outcome.code) if outcome.code else None
                assert code in expected(op, who, surface), str(outcome)
                assert code is None or not outcome.changes, str(outcome)
                is_for_whoever_has_asked(op, outcome)
        if len(outcomes) == 2 and not (lenient and who not in ROLES):
            with faults.of(f"{who} by both"):
                assert difference(outcomes[0], outcomes[1], known(estate)) is None, f"{outcomes[0]}\n{outcomes[1]}"
        if outcomes and who in ROLES and "graphql" in surfaces_of(op):
            with faults.of(f"{who} asks"):
                told = (await rights_of(estate, who))[op.name]
                refused = {outcome.code == Code.FORBIDDEN for outcome in outcomes}
                assert told["may"] is False or refused == {False} or is_refused_by_its_row(op), f"{told} {outcomes[0]}"
                assert told["may"] is True or refused == {True}, f"{told} {outcomes[0]}"
    faults.tell()


@each_of("op", [op for op in operations() if routes_of(op) and Role.VIEWER not in GATES[op.action]])
async def test_who_may_not_learns_nothing_of_a_bad_body(op: Operation[Any], estate: Estate) -> None:
    """The gate precedes the input: 403 for every body."""
    raw = valid(op, estate)
    broken = raw | {name: "\0" for name in raw if name not in bodyless(op) and name not in references(op)}
    assert (await estate.call("rest", op, broken, estate.person("viewer"))).code == Code.FORBIDDEN


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
        "waitpoints.complete",
        *[f"runners.{name}" for name in ("connect", "disconnect", "poll", "report", "take_calls")],
    }
    assert ANONYMOUS - without == {"ops.metrics"} | of_our_own


def test_a_role_in_prose_has_a_test_of_its_own() -> None:
    """A write open to every member is decided by a guard; the domain that lists it tests that."""
    served = {op.name: op for op in operations()}
    assert {name for name, op in served.items() if op.action is Action.PARTICIPATE} - set(PROSE) == set()
    for name, domain in PROSE.items():
        if name in served:
            assert list(Path(__file__).parents[1].glob(f"**/{domain}/**/test_*.py")), f"{name}: no tests in {domain}"
