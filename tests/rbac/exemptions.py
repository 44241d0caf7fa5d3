"""What the generated matrix cannot know: who may call without a credential, and whose roles are said in prose."""

# Operations that take no credential. A new entry is a decision: nobody is known there, on either surface.
ANONYMOUS = frozenset(
    {
        "auth.bootstrap",
        "auth.csrf",
        "auth.error_page",
        "auth.forgot",
        "auth.google_callback",
        "auth.google_redirect",
        "auth.google_status",
        "auth.login",
        "auth.pair_redeem",
        "auth.providers",
        "auth.refresh",
        "auth.reset",
        "auth.session",
        "auth.signin_page",
        "auth.signout",
        "auth.signup",
        "ops.healthz",
        "ops.metrics",  # a token of its own, or loopback
        "ops.readyz",
        "system.health",
        "system.setup_status",
        "system.telemetry",
    }
)

# Operations whose contract role is a sentence: inside the gate a guard decides, and the file has a table of who may.
PROSE: dict[str, str] = {
    "agents.create": "tests/agents",
    "agents.update": "tests/agents",
    "agents.delete": "tests/agents",
    "chats.cancel": "tests/chats",
    "chats.create": "tests/chats",
    "chats.delete": "tests/chats",
    "chats.mark_read": "tests/chats",
    "chats.rename": "tests/chats",
    "chats.send": "tests/chats",
    "chats.steer": "tests/chats",
}
