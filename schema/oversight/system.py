"""GraphQL: the server about itself."""

import strawberry

from resolvers.oversight import system as system_ops
from schema.bridge.fields import output, query

output(system_ops.Telemetry, fields={"install_id": str})
output(system_ops.License, fields={"license_id": str})


@strawberry.type
class SystemQuery:
    setup_status = query(system_ops.setup_status)
    telemetry = query(system_ops.telemetry)
    version = query(system_ops.version)
    license = query(system_ops.license)
    engine = query(system_ops.engine)
    runtime = query(system_ops.runtime)
    aux_status = query(system_ops.aux_status)
