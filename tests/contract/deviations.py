"""Where an answer differs from its contract line on purpose, or cannot be compared here: each with its reason."""

# operation -> keys of the answer that the contract does not have
_COPIES = dict.fromkeys(("email", "full_name"), "a command-line client reads them beside the user object (workspaces: ui_depends)")
ADDED_KEYS: dict[str, dict[str, str]] = {"members.list": _COPIES}

# operation -> events of its line that a call does not write itself
LATER_EVENTS: dict[str, dict[str, str]] = {}

# operation -> why its declaration differs from the line
DECLARED: dict[str, str] = {}
