"""Templates of work: patterns of tasks for missions, and the stages that issues go through."""

from resolvers.kernel import Domain
from resolvers.work.templates.mission_templates import (
    create_mission_template,
    delete_mission_template,
    get_mission_template,
    list_mission_templates,
    update_mission_template,
)
from resolvers.work.templates.workflow_templates import (
    create_workflow_template,
    delete_workflow_template,
    get_workflow_template,
    list_workflow_templates,
    update_workflow_template,
)

DOMAIN = Domain("templates", scopes="issues")
