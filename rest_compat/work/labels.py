"""REST: labels."""

from models.work.labels import Label
from resolvers.work import labels
from rest_compat.http.table import DELETE, GET, PATCH, POST, Wire


class LabelJSON(Wire, of=Label):
    fields = "id name color label_group"


ROUTES = (
    GET("/api/v1/labels", labels.list_labels, list[LabelJSON]),
    POST("/api/v1/labels", labels.create_label, LabelJSON, status=201),
    PATCH("/api/v1/labels/{labelId}", labels.update_label, LabelJSON),
    DELETE("/api/v1/labels/{labelId}", labels.delete_label, status=204),
)
