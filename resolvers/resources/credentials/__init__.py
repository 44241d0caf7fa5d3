"""Credentials of a workspace."""

from resolvers.kernel import Domain
from resolvers.resources.credentials.assignments import assign_credential, list_assignments, unassign_credential
from resolvers.resources.credentials.bindings import (
    ResolvedSlots,
    create_binding,
    delete_binding,
    find_bindings,
    list_bindings,
    resolve_slots,
)
from resolvers.resources.credentials.checks import test_stored, test_value
from resolvers.resources.credentials.creation import create_credential
from resolvers.resources.credentials.credentials import (
    DefaultEnvVar,
    default_env_var,
    delete_credential,
    find_credentials,
    get_credential,
    list_credentials,
    update_credential,
)
from resolvers.resources.credentials.fields import add_field, delete_field, list_fields, update_field
from resolvers.resources.credentials.internal import (
    InternalCredential,
    StatusSet,
    create_internal,
    list_internal,
    rotate_internal,
    set_status,
)
from resolvers.resources.credentials.listing import (
    DeliveredCredential,
    ListNewestCredentials,
    list_delivered,
    list_newest,
)
from resolvers.resources.credentials.on_runners import allow_on_runners
from resolvers.resources.credentials.probes import TestResult
from resolvers.resources.credentials.reveal import (
    RevealedCredential,
    RevealPolicy,
    get_reveal_policy,
    reveal_credential,
    set_reveal_policy,
)
from resolvers.resources.credentials.rotation import RotationEnded, cancel_rotation, list_rotations, rotate_credential
from resolvers.resources.credentials.sensitivity import SensitivityResult, set_sensitivity
from resolvers.resources.credentials.timeline import list_events

DOMAIN = Domain("credentials")
