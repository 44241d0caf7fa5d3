"""GraphQL: fields of subscriptions, one a kind of channel, or a list. What they send: `schema.bridge.event_types`."""

import inspect
from dataclasses import dataclass
from typing import Annotated, Any, Union

import strawberry

from resolvers.attention.channels import ChannelKind
from resolvers.kernel.background.following import Followed
from resolvers.kernel.ground.inputs import Paging
from resolvers.kernel.ground.policy import Action
from schema.bridge.event_types import EVENT_TYPES, EventInterface, StreamReset
from schema.bridge.fields import arguments, nullable

CHANNEL, LIST = "channel", "list"  # of a field's metadata
_AFTER = "Cursor to resume after. Default: new events only; with `-`, a StreamReset with the cursor comes first."
_TYPES = "Only events of these types; default: all. A StreamReset is always sent."
_AFTER_SEQ = """Number of the frame to resume after, if `after` is absent.

`lastSeq` of a chat whose history was read in the same query, or `fromSeq` of its live run."""
_WORKSPACE = "Id or slug of the workspace; the header X-Workspace-ID is an alternative."


def _said(kind: Any, text: str) -> Any:
    return Annotated[kind, strawberry.argument(description=text)]


@dataclass(frozen=True, slots=True)
class Source:
    """The channel of a field. `argument` names its owner in the document; None: the caller's channel, or the
    only one.
    """

    kind: ChannelKind
    argument: str | None = None


def _parameter(name: str, kind: Any, text: str) -> inspect.Parameter:
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, annotation=_said(nullable(kind), text), default=strawberry.UNSET
    )


def _field(kind: ChannelKind, said: str, argument: str | None = None, *, workspace: bool = False) -> Any:
    async def streamed(**_: Any) -> Any:
        raise NotImplementedError  # subscriptions are sent as they are projected, by schema.live

    parameters = [_parameter("after", str, _AFTER)]
    if kind is ChannelKind.workspace:
        listed: Any = list
        parameters.append(_parameter("types", listed[EVENT_TYPES.names[kind]], _TYPES))
    if kind is ChannelKind.session:
        parameters.append(_parameter("after_seq", int, _AFTER_SEQ))
    if argument is not None:
        face: Any = _said(nullable(strawberry.ID), _WORKSPACE) if workspace else strawberry.ID
        default = strawberry.UNSET if workspace else inspect.Parameter.empty
        parameters.insert(
            0, inspect.Parameter(argument, inspect.Parameter.KEYWORD_ONLY, annotation=face, default=default)
        )
    streamed.__signature__ = inspect.Signature(parameters, return_annotation=EVENT_TYPES.unions[kind])  # type: ignore[attr-defined]
    shown = None if argument is None else argument.removesuffix("_id") + "Id"
    needs = "" if argument is None else f"\n\nRequires: {Action.READ.value}."
    return strawberry.field(resolver=streamed, description=said + needs, metadata={CHANNEL: Source(kind, shown)})


def followed(rows: Followed, kind: Any, union: str, said: str) -> Any:
    """A field that sends the rows of a list as they become visible: each as the `entry` of an event `<union>`'s only
    other member beside StreamReset.
    """
    name = union.removesuffix("Event")
    event: Any = strawberry.type(
        type(
            f"{name}EntryEvent",
            (EventInterface,),
            {"__module__": __name__, "__annotations__": {"entry": kind}},
        ),
        description=f"An entry of the {name.lower()} that has become visible.",
    )

    async def streamed(**_: Any) -> Any:
        raise NotImplementedError  # as above

    parameters = [
        *[part for part in arguments(rows.rows.input) if part.name not in Paging.model_fields],
        _parameter("after", str, _AFTER),
        _parameter("workspace_id", strawberry.ID, _WORKSPACE),
    ]
    members = Annotated[
        Union[event, StreamReset],  # noqa: UP007 (values here)
        strawberry.union(union, description=f"Events of the {name.lower()}."),
    ]
    streamed.__signature__ = inspect.Signature(parameters, return_annotation=members)  # type: ignore[attr-defined]
    needs = f"\n\nRequires: {rows.rows.action.value}."
    return strawberry.field(resolver=streamed, description=said + needs, metadata={LIST: rows})


@strawberry.type
class Channels:
    """The subscriptions of channels."""

    workspace_events = _field(
        ChannelKind.workspace,
        "Events for all members of a workspace.",
        "workspace_id",
        workspace=True,
    )
    crew_events = _field(ChannelKind.crew, "Events of a crew.", "crew_id")
    agent_events = _field(ChannelKind.agent, "Log of an agent: its output in all of its chats, live only.", "agent_id")
    chat_events = _field(ChannelKind.session, "Frames of every turn, and other events of a chat.", "chat_id")
    mission_events = _field(ChannelKind.mission, "Progress of a mission.", "mission_id")
    keeper_events = _field(
        ChannelKind.keeper,
        "Requests to the keeper of a workspace, with its decisions.",
        "workspace_id",
        workspace=True,
    )
    file_events = _field(ChannelKind.files, "Changes of files in the output folder of a crew.", "crew_id")
    user_events = _field(ChannelKind.user, "Events for the caller only.")
    provider_events = _field(ChannelKind.providers, "Status of model providers.")
