"""GraphQL: labels."""

import strawberry

from models.work.labels import Label
from resolvers.work import labels as label_ops
from schema.bridge.fields import Edges, mutation, node, query
from schema.bridge.results import DeletedType


@node(Label)
class LabelType:
    """A label for issues of a workspace."""

    id: strawberry.ID
    name: str
    color: str
    label_group: str | None
    issues: Edges


@strawberry.type
class LabelQuery:
    labels = query(label_ops.list_labels, LabelType)


@strawberry.type
class LabelMutation:
    create_label = mutation(label_ops.create_label, LabelType)
    update_label = mutation(label_ops.update_label, LabelType)
    delete_label = mutation(label_ops.delete_label, DeletedType)
