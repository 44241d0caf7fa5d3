"""Cases of templates, for the tests that are made for every operation."""

from models.work.templates import WorkflowTemplate
from tests.generation.entities import Plot, entity
from tests.generation.recipes import Recipe

STAGES = '[{"name":"Todo","type":"open","position":1},{"name":"Done","type":"completed","position":2}]'


@entity
def template(plot: Plot) -> WorkflowTemplate:
    return WorkflowTemplate(
        name="Watches",
        description="Four hours each",
        template_json=STAGES,
        icon="clock",
        color="#abc",
        is_builtin=False,
        **plot.here,
    )


NAMED = Recipe(ids={"id": "template"})
RECIPES = {
    "templates.create": Recipe({"template_json": {"steps": [{"id": "a", "title": "A"}]}}),
    "templates.get": NAMED,
    "templates.update": Recipe({"template_json": [1], "name": "Other watches"}, ids=NAMED.ids),
    "templates.delete": NAMED,
    "workflow_templates.create": Recipe({"template_json": STAGES}),
    "workflow_templates.get": NAMED,
    "workflow_templates.update": Recipe({"template_json": STAGES, "color": "#123456"}, ids=NAMED.ids),
    "workflow_templates.delete": NAMED,
}
