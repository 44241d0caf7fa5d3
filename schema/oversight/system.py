"""GraphQL: the server about itself."""

import strawberry

from resolvers.oversight import system as system_ops
from resolvers.oversight.system import aux_models, runtimes
from resolvers.rules.coding_agents import FoundCodingAgent
from schema.bridge.fields import output, query

output(
    system_ops.SetupStatus,
    description="Shows whether the first user has been created, and whether sign-up is allowed.",
)
output(system_ops.Telemetry, fields={"install_id": str})
output(
    system_ops.Version,
    description="The release of this server; `latest` and `url` are null if the newest release is not known.",
)
output(
    system_ops.License,
    description="The current license and its limits; a limit of zero or less means unlimited.",
    fields={"license_id": str},
)
output(
    system_ops.Engine,
    description="The process that answers. `uptime` is a duration such as `1h2m3.5s`; `connections` are its "
    "open WebSockets.",
)
output(
    runtimes.FoundRuntime,
    description="The runtime of agents' commands. `socket` is the container engine's socket, if any.",
)
output(runtimes.InstallLinks, description="The source of runtimes. This release uses bubblewrap.")
output(
    FoundCodingAgent,
    description="A coding agent that agents can use. `missing`: why no worker can run it; `fix`: how to install it.",
)
output(
    system_ops.Runtime,
    description=(
        "`available`: true if a worker runs agents' commands. `installLinks` is null "
        "then.\n\n`languageVersion` and `uptimeSeconds` are of the process that answers."
    ),
)
output(
    aux_models.AuxModel,
    description=(
        "The model of a slot. Provider and model are empty, and the timeout is 0, if the slot is unconfigured."
    ),
)
output(system_ops.AuxSlots, description="The models of auxiliary tasks.")


@strawberry.type
class SystemQuery:
    setup_status = query(system_ops.setup_status)
    telemetry = query(system_ops.telemetry)
    version = query(system_ops.version)
    license = query(system_ops.license)
    engine = query(system_ops.engine)
    runtime = query(system_ops.runtime)
    aux_status = query(system_ops.aux_status)
