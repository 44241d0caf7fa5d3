"""Slash commands of the chat: the objects that a message box offers to create, by its user's capabilities."""

from enum import StrEnum
from typing import Annotated, Final

from models.people.workspaces import Capability
from resolvers.kernel import Absent, Action, Context, Domain, NoInput, Output, procedure

DOMAIN = Domain("slash_commands", scopes="workspace")


class FormFieldType(StrEnum):
    """The input type of a field. The set is open: clients show unknown types as text."""

    text = "text"
    textarea = "textarea"
    cron = "cron"
    timezone = "timezone"
    priority = "priority"
    slug = "slug"
    credential_type = "credential_type"
    secret = "secret"


class FormField(Output):
    """A field of a form. `required` and `default` are null or absent if they are not set."""

    name: str
    type: FormFieldType
    required: Annotated[bool | None, Absent()] = None
    default: Annotated[str | None, Absent()] = None


class SlashCommand(Output):
    """An action of the chat, and the form to fill in for it. `capability` is its name, such as `issue.create`; `icon`
    is a name of Lucide.
    """

    id: str
    label: str
    label_cs: str
    icon: str
    capability: Capability
    form_schema: list[FormField]


CATALOG: Final = (
    SlashCommand(
        id="routine",
        label="Create routine from this conversation",
        label_cs="Vytvořit rutinu z této konverzace",
        icon="calendar-clock",
        capability=Capability.routine_create,
        form_schema=[
            FormField(name="name", type=FormFieldType.text, required=True),
            FormField(name="cron", type=FormFieldType.cron, required=True),
            FormField(name="timezone", type=FormFieldType.timezone, default="UTC"),
        ],
    ),
    SlashCommand(
        id="issue",
        label="Create issue from this conversation",
        label_cs="Vytvořit issue z této konverzace",
        icon="alert-circle",
        capability=Capability.issue_create,
        form_schema=[
            FormField(name="title", type=FormFieldType.text, required=True),
            FormField(name="description", type=FormFieldType.textarea),
            FormField(name="priority", type=FormFieldType.priority, default="none"),
        ],
    ),
    SlashCommand(
        id="skill",
        label="Create skill from this conversation",
        label_cs="Vytvořit skill z této konverzace",
        icon="sparkles",
        capability=Capability.skill_create,
        form_schema=[
            FormField(name="slug", type=FormFieldType.slug, required=True),
            FormField(name="prompt", type=FormFieldType.textarea, required=True),
        ],
    ),
    SlashCommand(
        id="credential",
        label="Add credential",
        label_cs="Přidat credential",
        icon="key",
        capability=Capability.credential_create,
        form_schema=[
            FormField(name="name", type=FormFieldType.text, required=True),
            FormField(name="type", type=FormFieldType.credential_type, default="SECRET"),
            FormField(name="value", type=FormFieldType.secret, required=True),
        ],
    ),
)
"""Clients know what to do with these four ids, and with no other."""


@procedure("slash_commands.list", Action.READ)
async def list_slash_commands(ctx: Context, data: NoInput) -> list[SlashCommand]:
    """List slash commands.

    Lists the commands that the caller's capabilities allow, in the order of the catalog.
    """
    return [command for command in CATALOG if ctx.has(command.capability)]
