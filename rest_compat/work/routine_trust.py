"""REST: standing approvals of routines."""

from resolvers.work import routine_trust
from rest_compat.http.table import DELETE, GET, POST
from rest_compat.people.workspaces import WORKSPACE

TRUST = f"{WORKSPACE}/pipelines/{{slug}}/trust"
ROUTES = (
    GET(TRUST, routine_trust.list_routine_trust, routine_trust.RoutineTrust),
    POST(TRUST, routine_trust.grant_routine_trust, routine_trust.RoutineTrustGranted, status=201),
    DELETE(f"{TRUST}/{{grantId}}", routine_trust.revoke_routine_trust, routine_trust.RoutineTrustRevoked),
)
