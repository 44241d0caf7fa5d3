"""The words of the kernel. Domains import them from here only, so that the modules behind can change.

If a word and a module have the same name (`command`, `query`), the word is here. Import a service, such as
`resolvers.instance.completions` or `resolvers.kernel.store.across`, from the module that offers it.
"""

from resolvers.errors import Code, Reason, Refusal, forbidden, invalid, unauthenticated
from resolvers.identity.caller import Caller, CredentialKind
from resolvers.instance.running import instance
from resolvers.instance.telemetry import log
from resolvers.kernel.admission.gate import Entity, Tenancy
from resolvers.kernel.admission.refs import Ref
from resolvers.kernel.admission.subject import Subject
from resolvers.kernel.background.clocks import AcrossWorkspaces, across_workspaces, clock
from resolvers.kernel.declarations.acts import viewer_can
from resolvers.kernel.declarations.events import Event, Routing
from resolvers.kernel.declarations.jobs import job
from resolvers.kernel.declarations.operation import GRAPHQL_ONLY, NO_SURFACE, REST_ONLY, Auth, Reach
from resolvers.kernel.declarations.outputs import Absent, Deleted, Output, Success
from resolvers.kernel.declarations.query import QueryScope, query
from resolvers.kernel.ground.bounds import ENDS, within
from resolvers.kernel.ground.constants import constant, interval
from resolvers.kernel.ground.inputs import (
    TRIMMED,
    Bool,
    ById,
    ConfigText,
    Description,
    Email,
    Flag,
    Float,
    Id,
    Input,
    Int,
    Name,
    NoInput,
    Notes,
    Numbered,
    Paging,
    Prompt,
    Slug,
    Text,
    Url,
    at_most,
    is_id,
)
from resolvers.kernel.ground.kept import Kept
from resolvers.kernel.ground.patch import Emptied, Patch
from resolvers.kernel.ground.policy import Action, outranks
from resolvers.kernel.ground.scopes import Domain
from resolvers.kernel.reader import (
    EVERYONE,
    Branch,
    Page,
    Row,
    Rows,
    View,
    confidential,
    count,
    derived,
    extend,
    graph,
    many,
    named,
    of_parent,
    one,
    precise,
    reads,
    shown_as,
    sums_up,
    written,
)
from resolvers.kernel.reader.filters import MOST_LISTED, CommaList, Filter, Order, Otherwise, contains, through
from resolvers.kernel.reader.visibility import Scope
from resolvers.kernel.store.bus import Topic
from resolvers.kernel.store.changes import NOW, Change, Drawn, plus
from resolvers.kernel.store.existence import Existence
from resolvers.kernel.writing.actors import Actor, actor, actor_name, people_only
from resolvers.kernel.writing.command import command, procedure
from resolvers.kernel.writing.context import Context
from resolvers.kernel.writing.ends import Ended, Holder, end_work, ends

__all__ = [  # noqa: RUF022 - by what they are for
    # An operation: what it is, who may call it, and where it is offered.
    "query", "command", "procedure", "job", "clock", "Action", "Auth", "Entity", "Tenancy", "Subject", "Existence",
    "Reach", "GRAPHQL_ONLY", "REST_ONLY", "NO_SURFACE",
    # What it works with.
    "AcrossWorkspaces", "Context", "QueryScope", "Scope", "Caller", "CredentialKind", "instance", "log",
    # What goes in.
    "Input", "NoInput", "Flag", "ById", "Paging", "Numbered", "Id", "Slug", "Name", "Email", "Url", "Text",
    "Description", "Notes", "Prompt", "ConfigText", "Bool", "Int", "Float", "TRIMMED", "at_most", "is_id", "Ref",
    "Patch", "Emptied", "Filter", "Order", "CommaList", "MOST_LISTED", "contains", "Otherwise", "through", "within",
    "ENDS", "Kept",
    # What comes out, and why it does not.
    "Row", "Rows", "Page", "View", "Branch", "Output", "Absent", "Deleted", "Success", "Code", "Reason", "Refusal",
    "forbidden", "invalid", "unauthenticated",
    # Who may read the rows of a model, and what leads on from them.
    "graph", "extend", "one", "many", "count", "derived", "of_parent", "named", "precise", "reads", "sums_up",
    "written", "confidential", "shown_as", "viewer_can", "EVERYONE",
    # What stands in the text of a statement.
    "constant", "interval",
    # What a command writes and sends.
    "Change", "Drawn", "NOW", "plus", "Event", "Routing", "Topic", "Ended", "Holder", "end_work", "ends",
    # Roles, scopes of tokens, and the license.
    "outranks", "Domain",
    # Without a Context: for what works beside the requests.
    "across_workspaces",
    # Who did it.
    "Actor", "actor", "actor_name", "people_only",
]  # fmt: skip
