"""What the oracle is told of templates; see tests/reader/twins.py."""

import json
from typing import Any

from tests.reader.oracle import Asker, Key, Listing, Order, Row, Single, Store, ordered
from tests.reader.words import Arguments, Root, by, only, tenants

BUILT_IN_FIRST = Key(lambda row: row["is_builtin"], True, "flag")
BY_NAME: Order = (BUILT_IN_FIRST, *by("name", "id"))
BY_AGE: Order = (BUILT_IN_FIRST, *by("created_at", "name", "id"))


def template(store: Store, asker: Asker, arguments: Arguments) -> Single:
    rows = tenants(store, asker, "WorkflowTemplate")
    return only([row for row in rows if row["id"] == arguments["id"]], "WorkflowTemplate")


def mission_templates(store: Store, asker: Asker, _: Arguments) -> Listing:
    return Listing("WorkflowTemplate", ordered(tenants(store, asker, "WorkflowTemplate"), BY_NAME))


def workflow_templates(store: Store, asker: Asker, _: Arguments) -> Listing:
    return Listing("WorkflowTemplate", ordered(tenants(store, asker, "WorkflowTemplate"), BY_AGE))


def definition(store: Store, asker: Asker, row: Row) -> Any:
    return json.loads(row["template_json"])


HERE: dict[str, Root] = {
    "missionTemplates": mission_templates,
    "missionTemplate": template,
    "workflowTemplates": workflow_templates,
    "workflowTemplate": template,
}
