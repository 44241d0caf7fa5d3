"""REST: preferences of the caller."""

from typing import Any

from models.people.preferences import LARGEST, Preference
from resolvers.people import preferences
from rest_compat.http.table import DELETE, GET, PUT, ByKey, ValueOf


class PreferencesJSON(ByKey, of=Preference):
    key: str
    value: Any


ROUTES = (
    GET("/api/v1/me/preferences", preferences.list_preferences, PreferencesJSON),
    PUT(
        "/api/v1/me/preferences/{key}",
        preferences.set_preference,
        status=204,
        body=ValueOf("value"),
        body_limit=LARGEST,
    ),
    DELETE("/api/v1/me/preferences/{key}", preferences.delete_preference, status=204),
)
