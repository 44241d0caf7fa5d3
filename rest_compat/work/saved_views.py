"""REST: saved views."""

from models.work.saved_views import SavedView, ViewType
from resolvers.work import saved_views
from rest_compat.http.table import DELETE, GET, PATCH, POST, Wire


class SavedViewJSON(Wire, of=SavedView):
    id: str
    name: str
    filters_json: str
    sort_json: str | None
    view_type: ViewType
    is_default: bool
    shared: bool
    created_at: str


ROUTES = (
    GET("/api/v1/saved-views", saved_views.list_saved_views, list[SavedViewJSON]),
    POST("/api/v1/saved-views", saved_views.create_saved_view, SavedViewJSON, status=201),
    PATCH("/api/v1/saved-views/{viewId}", saved_views.update_saved_view, SavedViewJSON),
    DELETE("/api/v1/saved-views/{viewId}", saved_views.delete_saved_view, status=204),
)
