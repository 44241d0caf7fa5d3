"""Names of environment variables: which may hold a credential, and the slots that stand for them."""

import re
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_core import PydanticCustomError

from models import bounds

VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,254}")
LEGAL: Final = re.compile(r"[A-Z_][A-Z0-9_]*")
SLOT: Final = re.compile(r"[A-Za-z_-][A-Za-z0-9_-]*")
STEERING: Final = frozenset({"PATH", "HOME", "SHELL", "IFS", "ENV", "BASH_ENV", "TERM", "LANG", "PWD"})
"""Names of variables that control how programs run."""
STEERING_BEGINS: Final = (
    "LD_", "BASH_FUNC_", "PYTHON", "NODE_OPTIONS", "PERL", "GIT_SSH", "GIT_EXEC", "GLIBC_", "MALLOC_", "GCONV_",
    "LOCPATH",
)  # fmt: skip
RESERVED: Final = frozenset(
    {
        "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "CLAUDE_CODE_OAUTH_TOKEN", "CLAUDE_CODE_DISABLE_AUTOUPDATE",
        "ANTHROPIC_BASE_URL", "OPENAI_BASE_URL", "GOOGLE_GEMINI_BASE_URL", "OPENCODE_CONFIG_CONTENT",
    }
)  # fmt: skip
"""Names that a field of a credential does not take, beyond those that control programs."""
OURS: Final = "CREWSHIP_"


def is_variable(name: str) -> bool:
    """Returns true if an environment may have a variable of this name: it has a shell's form, and affects neither shell
    nor loader.
    """
    return VARIABLE.fullmatch(name) is not None and name not in STEERING and not name.startswith(STEERING_BEGINS)


def is_free(name: str) -> bool:
    """Returns true if a field of a credential may have this variable."""
    return is_variable(name) and name not in RESERVED and not name.startswith(OURS)


def canonical(name: str) -> str | None:
    """The slot of a name: `gh-token`, `gh_token` and `GH_TOKEN` are one. None if the name can be no variable."""
    plain = name.strip()
    return plain.upper().replace("-", "_") if SLOT.fullmatch(plain) else None


def _slot(name: str) -> str:
    slot = canonical(name)
    if slot is None:
        raise PydanticCustomError("slot", "must have letters, digits, _ and - only, and no digit at the start")
    return slot


SlotName = Annotated[str, Field(strict=True, max_length=bounds.CREDENTIAL), AfterValidator(_slot)]


def _sought(raw: Any) -> Any:
    return (canonical(raw) or raw) if isinstance(raw, str) else raw


SoughtSlot = Annotated[str, Field(strict=True, max_length=bounds.CREDENTIAL), BeforeValidator(_sought)]
"""A slot in a filter; a name that can be no slot matches nothing."""
