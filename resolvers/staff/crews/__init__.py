"""Crews: teams of agents that share a container, a network policy and files."""

from resolvers.kernel import Domain
from resolvers.staff.crews.capabilities import get_capabilities
from resolvers.staff.crews.connections import create_connection, delete_connection, list_connections
from resolvers.staff.crews.crews import (
    create_crew,
    delete_crew,
    get_crew,
    get_crew_by_slug,
    list_crews,
    replace_crew,
    update_crew,
)
from resolvers.staff.crews.members import add_member, list_members, remove_member, update_member
from resolvers.staff.crews.provisioning import get_provision_status

DOMAIN = Domain("crews")
