"""REST: saved views."""

from models.work.saved_views import SavedView
from resolvers.work import saved_views
from rest_compat.http.table import DELETE, GET, PATCH, POST, Wire


class SavedViewJSON(Wire, of=SavedView):
    fields = "id name filters_json sort_json view_type is_default shared created_at"


ROUTES = (
    GET("/api/v1/saved-views", saved_views.list_saved_views, list[SavedViewJSON]),
    POST("/api/v1/saved-views", saved_views.create_saved_view, SavedViewJSON, status=201),
    PATCH("/api/v1/saved-views/{viewId}", saved_views.update_saved_view, SavedViewJSON),
    DELETE("/api/v1/saved-views/{viewId}", saved_views.delete_saved_view, status=204),
)
