"""GraphQL: the server about itself."""

import strawberry

from resolvers.oversight import system as system_ops
from schema.bridge.fields import node, output, query

output(system_ops.Telemetry, fields={"install_id": str})
output(system_ops.License, fields={"license_id": str})


@node(system_ops.Found)
class FoundType:
    """A row that a search found."""

    fields = "type row_id title detail"
    detail = strawberry.field(
        description="The identifier of an issue or of a comment's issue, a slug, or the id of a run."
    )


@strawberry.type
class SystemQuery:
    search = query(system_ops.search, FoundType)
    setup_status = query(system_ops.setup_status)
    telemetry = query(system_ops.telemetry)
    version = query(system_ops.version)
    license = query(system_ops.license)
    engine = query(system_ops.engine)
    runtime = query(system_ops.runtime)
    runtime_capacity = query(system_ops.runtime_capacity)
    aux_status = query(system_ops.aux_status)
