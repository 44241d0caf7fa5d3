"""The kernel's names for domains, which import them from here only, so that the modules behind can be rearranged.

Where name and module are alike (`command`, `query`, `bus`, `database`, `instance`), the name is found here.
"""

from resolvers.errors import Code, Reason, Refusal, forbidden, invalid, unauthenticated
from resolvers.identity import cookies, credentials
from resolvers.identity.caller import Caller, CredentialKind, IssuedSession, KnownBrowser
from resolvers.identity.credentials import SESSION_LIFETIME, TICKET_LIFETIME
from resolvers.identity.locality import is_alone_on_loopback, is_at_the_machine
from resolvers.identity.webhook_senders import SenderClaim as WebhookClaim
from resolvers.identity.webhook_senders import Unproven
from resolvers.identity.webhook_senders import fits as signs_webhooks
from resolvers.identity.webhook_senders import new_secret as new_webhook_secret
from resolvers.identity.webhook_senders import read_claim as read_webhook
from resolvers.identity.webhook_senders import sign as sign_webhook
from resolvers.instance.addresses import is_public_address, parse_address
from resolvers.instance.completions import Completed, CompletionFailed, CompletionRequest, Model
from resolvers.instance.confined import ATTACHMENTS
from resolvers.instance.crypto import (
    TokenClaims,
    TokenKind,
    digest,
    hash_cli_token,
    new_cli_token,
    new_csrf_token,
    new_device_token,
    new_session_id,
    secret_equals,
)
from resolvers.instance.forms import file_in
from resolvers.instance.license import Edition, Limit
from resolvers.instance.log_level import LogLevel
from resolvers.instance.mcp_client import McpFailed, McpServer, ToolOffered, introduced, offered
from resolvers.instance.mcp_programs import McpProgram
from resolvers.instance.outbound import Answered, Outbound, Policy
from resolvers.instance.passwords import Verification, check_password
from resolvers.instance.ports import (
    AskedProgram,
    CommandOfAgent,
    InUse,
    Mail,
    MailFailed,
    NotRun,
    Ran,
    Undeliverable,
    in_a_line,
)
from resolvers.instance.prices import price
from resolvers.instance.running import BOOTSTRAPPED, instance
from resolvers.instance.sign_in_providers import GOOGLE, SignInProvider, is_safe_url
from resolvers.instance.store import Arriving, Entry, Opened, names_of
from resolvers.instance.telemetry import log
from resolvers.instance.vault import Revealed, Unopenable, reveal_to_listeners, told_of_secrets
from resolvers.kernel.admission.entities import kinds_shown, shows_data
from resolvers.kernel.admission.gate import OVERLAP, Entity, Tenancy
from resolvers.kernel.admission.operators import is_operators
from resolvers.kernel.admission.places import go_on_as
from resolvers.kernel.admission.refs import Ref
from resolvers.kernel.admission.subject import Subject
from resolvers.kernel.background.clocks import AcrossWorkspaces, across_workspaces, clock
from resolvers.kernel.background.followers import follow, news
from resolvers.kernel.background.following import Followed
from resolvers.kernel.background.retention import LONGEST as LONGEST_RETENTION
from resolvers.kernel.background.retention import bounds as retention_bounds
from resolvers.kernel.background.retention import done as rules_done
from resolvers.kernel.background.retention import due as rules_due
from resolvers.kernel.background.retention import holds as retention_days
from resolvers.kernel.background.retention import told as rules_told
from resolvers.kernel.declarations.events import EVENTS, Event, Long, Routing, Time, address_of
from resolvers.kernel.declarations.jobs import job
from resolvers.kernel.declarations.operation import GRAPHQL_ONLY, NO_SURFACE, REST_ONLY, Auth, Reach, translate
from resolvers.kernel.declarations.outputs import Absent, Deleted, Output, Success
from resolvers.kernel.declarations.query import QueryScope, query
from resolvers.kernel.ground import faults
from resolvers.kernel.ground.bounds import ENDS, within
from resolvers.kernel.ground.constants import DATE, DAY, MIDNIGHT, constant, interval
from resolvers.kernel.ground.inputs import (
    INT32,
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
from resolvers.kernel.ground.pace import Pace, Room
from resolvers.kernel.ground.patch import Emptied, Patch
from resolvers.kernel.ground.policy import (
    ADMINS,
    CHAT_ONLY,
    GATES,
    PRESETS,
    Action,
    Capabilities,
    CapabilityPreset,
    effective,
    higher,
    known_capabilities,
    outranks,
)
from resolvers.kernel.ground.scopes import EVERYTHING, OPEN, SCOPES, Domain
from resolvers.kernel.ground.streamed import Streamed
from resolvers.kernel.reader import (
    EVERYONE,
    Branch,
    Derived,
    Page,
    Row,
    Rows,
    Subtype,
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
)
from resolvers.kernel.reader.filters import (
    MOST_LISTED,
    CommaList,
    CommaTexts,
    Filter,
    Order,
    Otherwise,
    contains,
    through,
)
from resolvers.kernel.reader.visibility import Scope
from resolvers.kernel.store.across import (
    ALL_ROWS,
    Everywhere,
    has_secret,
    in_live_workspaces,
    of_instance,
    rows_in,
    supplied,
    waiting,
)
from resolvers.kernel.store.bus import Topic, bus
from resolvers.kernel.store.changes import NOW, Change, Conflict, Drawn, Need, plus
from resolvers.kernel.store.database import database
from resolvers.kernel.store.differences import ENTITY_TYPES
from resolvers.kernel.store.existence import Existence
from resolvers.kernel.writing.actors import Actor, actor, actor_name, actor_of, check_actor, people_only
from resolvers.kernel.writing.command import Procedure, command, procedure
from resolvers.kernel.writing.context import Context
from resolvers.kernel.writing.ends import Ended, Holder, end_work, ends
from resolvers.kernel.writing.persons import (
    LEFT_DIGEST,
    PERSONAL_DIGEST,
    belongs_elsewhere,
    end_consents,
    erase_in_audit,
    forget_answers,
    is_as_erased,
)
from resolvers.kernel.writing.reports import Lock, first_with, prepared_report, prepared_rows
from resolvers.kernel.writing.walking import answer_of, pages

__all__ = [  # noqa: RUF022 - by what they are for
    # An operation: what it is, who may call it, and where it is offered.
    "query", "command", "procedure", "job", "clock", "Procedure", "Action", "Auth", "Entity", "Tenancy", "Subject",
    "Existence", "Reach",
    "GRAPHQL_ONLY", "REST_ONLY", "NO_SURFACE",
    # What it works with.
    "AcrossWorkspaces", "Everywhere", "has_secret", "in_live_workspaces", "of_instance", "supplied", "waiting",
    "rows_in", "ALL_ROWS",
    "Context", "go_on_as", "QueryScope", "Scope", "Caller", "CredentialKind", "instance", "log",
    # What goes in.
    "Input", "NoInput", "Flag", "ById", "Paging", "Numbered", "Id", "Slug", "Name", "Email", "Url", "Text",
    "Description", "Notes", "Prompt", "ConfigText",
    "Bool", "Int", "Float", "INT32", "TRIMMED", "at_most", "is_id", "Ref",
    "Patch", "Emptied", "Filter", "Order", "CommaTexts", "CommaList", "MOST_LISTED", "contains", "Otherwise", "through",
    "within", "ENDS", "faults", "Kept", "is_public_address", "parse_address",
    "McpServer", "McpProgram", "McpFailed", "ToolOffered", "offered", "introduced", "Pace", "Room",
    # What comes out, and why it does not.
    "Row", "Rows", "Page", "View", "Branch", "Output", "Absent", "Deleted", "Success", "Code", "Reason", "Refusal",
    "forbidden", "invalid", "unauthenticated", "translate",
    # Who may read the rows of a model, and what leads on from them.
    "graph", "extend", "one", "many", "count", "derived", "of_parent", "named", "precise", "reads", "sums_up",
    "Derived", "Subtype", "confidential", "shown_as", "EVERYONE",
    # What stands in the text of a statement.
    "constant", "interval", "DATE", "DAY", "MIDNIGHT",
    # What a command writes and sends.
    "Change", "Conflict", "Drawn", "Need", "NOW", "plus", "Event", "EVENTS", "Routing", "Time", "Long", "address_of",
    "Topic", "Ended", "Holder", "end_work", "ends",
    # Roles, scopes of tokens, and the license.
    "GATES", "ADMINS", "higher", "outranks", "Capabilities", "CapabilityPreset", "CHAT_ONLY", "PRESETS", "effective",
    "known_capabilities",
    "Domain", "EVERYTHING", "SCOPES", "OPEN", "Edition", "Limit",
    # Webhooks in: what is sent to agents.
    "WebhookClaim", "Unproven", "read_webhook", "sign_webhook", "signs_webhooks", "new_webhook_secret",
    # Signing in: for the domain of accounts and sessions.
    "cookies", "credentials", "TokenClaims", "TokenKind", "IssuedSession", "KnownBrowser", "Verification", "digest",
    "hash_cli_token",
    "secret_equals", "check_password",
    "new_cli_token", "new_csrf_token", "new_device_token", "new_session_id", "BOOTSTRAPPED",
    "OVERLAP", "SignInProvider", "GOOGLE", "is_safe_url",
    "SESSION_LIFETIME", "TICKET_LIFETIME", "is_alone_on_loopback", "is_at_the_machine",
    # Secrets, beside `instance.vault`.
    "Revealed", "Unopenable", "told_of_secrets", "reveal_to_listeners", "LONGEST_RETENTION",
    "retention_bounds", "retention_days", "rules_due", "rules_done", "rules_told",
    # Mail, by jobs.
    "Mail", "MailFailed", "Undeliverable", "in_a_line",
    # HTTP to the outside, by `ctx.outside.http`.
    "Answered", "Outbound", "Policy",
    # Models that judge, by `ctx.outside.completions`.
    "Model", "CompletionRequest", "Completed", "CompletionFailed", "price",
    # Commands of agents, by `ctx.outside.commands`, and programs, by `ctx.outside.programs`.
    "CommandOfAgent", "AskedProgram", "Ran", "NotRun", "InUse",
    # Files, by `ctx.outside.store`.
    "Arriving", "Entry", "Opened", "names_of", "file_in", "ATTACHMENTS",
    # Answers that go on.
    "Streamed", "answer_of", "pages", "Followed",
    # Without a Context: for what works beside the requests.
    "bus", "database", "belongs_elsewhere", "end_consents", "forget_answers",
    "erase_in_audit", "is_as_erased", "LEFT_DIGEST", "PERSONAL_DIGEST", "LogLevel", "across_workspaces",
    "prepared_report", "prepared_rows", "first_with", "Lock", "follow", "news",
    # Who did it.
    "is_operators", "Actor", "actor", "actor_name", "actor_of", "check_actor", "people_only", "ENTITY_TYPES",
    "kinds_shown", "shows_data",
]  # fmt: skip
