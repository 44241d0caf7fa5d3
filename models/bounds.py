"""The maximum size of everything that is stored: the one declaration for columns and for the inputs that fill them.

Lengths count characters (contract: formats.lengths), in inputs and in the database, where a text is a varchar(n). A
column whose texts are composed of others must have room for the longest. See docs/database.md.
"""

from typing import Final

ID: Final = 200
"""Keys: our own have at most 66, clients may choose longer ones."""
SLUG: Final = 50
NAME: Final = 100
LABEL: Final = 600
"""A name that no rule restricts (contract: labels.create)."""
CREDENTIAL: Final = 255
"""The name of a credential (contract: credentials.create)."""
EMOJI: Final = 8
"""Code points of a reaction (contract: chats.reactions_add)."""
LINE: Final = 200
"""One line: a title, a colour, a role, a filter."""
FILE_NAME: Final = 255
EMAIL: Final = 320
SUBJECT: Final = 255
"""The identity at a sign-in provider (OpenID Connect Core, 2)."""
IMAGE: Final = 1024
URL: Final = 2048
DESCRIPTION: Final = 10_000
PERSONA: Final = 1_500
"""The persona of an agent; in bytes of UTF-8 (contract: Persona.cap_bytes), and so in characters, too."""
STEER: Final = 16_000
PROMPT: Final = 64_000
SECRET: Final = 64 << 10
"""The value of a credential or of one of its fields; in bytes of UTF-8 (contract: credentials.create)."""
CONFIG: Final = 128_000
"""A configuration text. Most kinds have a narrower limit in bytes, which is reported with their other faults."""
SKILL: Final = 512 << 10
"""The text of a skill; its file is held to as many bytes (contract: skills, skill_md)."""
SETTING: Final = 64_000
"""A value that hardly anything but the size of a request bounds (contract: instance_settings.put)."""
REPLY: Final = 1_000_000
"""An agent's text in one turn."""
ERROR: Final = 10_000

ENTRIES: Final = 1_000
"""Elements of a list, entries of an object."""

# Bytes of JSON.
HOSTS: Final = 4 << 10
NOTES: Final = 256 << 10
PAYLOAD: Final = 1 << 20
TURN: Final = 8 << 20
"""The parts of a reply, one frame of it, the outcome of a step."""
ANSWER: Final = 64 << 20
"""An answer that is kept to be repeated."""

CUT: Final = "… (cut)"


def cut(text: str, most: int) -> str:
    """Truncates a text that no client can shorten, and marks the end."""
    return text if len(text) <= most else text[: most - len(CUT)] + CUT
