"""Routines: saved documents of typed steps, in versions, with a review of what can reach out."""

from resolvers.kernel import Domain
from resolvers.work.routines.appearance import (
    add_routine_tags,
    remove_routine_tag,
    set_routine_appearance,
    update_routine,
)
from resolvers.work.routines.bundles import export_routine, import_routine
from resolvers.work.routines.catalogue import delete_routine, get_routine, list_routines
from resolvers.work.routines.checking import routine_schema, validate_routine
from resolvers.work.routines.reviews import approve_routine, enable_routine, reject_routine
from resolvers.work.routines.saving import save_routine
from resolvers.work.routines.versions import (
    compare_routine_versions,
    get_routine_version,
    list_routine_versions,
    roll_back_routine,
)

DOMAIN = Domain("routines")
