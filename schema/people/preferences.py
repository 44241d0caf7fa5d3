"""GraphQL: preferences of the caller."""

import strawberry
from strawberry.scalars import JSON

from models.people.preferences import Preference
from resolvers.people import preferences as preference_ops
from schema.bridge.fields import mutation, node, query


@node(Preference)
class PreferenceType:
    """A value that clients keep for the caller, in every workspace."""

    key: str
    value: JSON | None


@strawberry.type
class PreferenceQuery:
    preferences = query(preference_ops.list_preferences, PreferenceType)


@strawberry.type
class PreferenceMutation:
    set_preference = mutation(preference_ops.set_preference)
    delete_preference = mutation(preference_ops.delete_preference)
