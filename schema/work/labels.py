"""GraphQL: labels."""

import strawberry

from models.work.labels import Label
from resolvers.work import labels as label_ops
from schema.bridge.fields import mutation, node, query


@node(Label)
class LabelType:
    """A label for issues of a workspace."""

    fields = "id name color label_group version issues"


@strawberry.type
class LabelQuery:
    labels = query(label_ops.list_labels, LabelType)


@strawberry.type
class LabelMutation:
    create_label = mutation(label_ops.create_label, LabelType)
    update_label = mutation(label_ops.update_label, LabelType)
    delete_label = mutation(label_ops.delete_label)
