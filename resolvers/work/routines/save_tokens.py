"""Save tokens: a test run issues one, and a save of the same definition by the same author presents it.

`<unix seconds>.<hex HMAC>` (contract: routines.test_run): of the time, the workspace, the SHA-256 of the definition's
bytes, and the author: the user, or for agents the crew. It is good for five minutes, any number of times, and kept
nowhere.
"""

import re
from typing import Final

from resolvers.instance.crypto import secret_equals
from resolvers.kernel import instance

LIFETIME: Final = 300
_FORM: Final = re.compile(r"([0-9]{1,12})\.([0-9a-f]{64})")


def issue_save_token(workspace_id: str, definition_hash: str, author_id: str) -> str:
    """The token that a passed test run answers with."""
    issued_at = int(instance.clock.seconds())
    return f"{issued_at}.{_signature(issued_at, workspace_id, definition_hash, author_id)}"


def is_save_token(token: str, workspace_id: str, definition_hash: str, author_id: str) -> bool:
    """Returns true if this token was issued for the definition and the author, within its lifetime."""
    form = _FORM.fullmatch(token)
    if form is None:
        return False
    issued_at = int(form[1])
    expected = _signature(issued_at, workspace_id, definition_hash, author_id)
    return secret_equals(form[2], expected) and 0 <= instance.clock.seconds() - issued_at <= LIFETIME


def _signature(issued_at: int, workspace_id: str, definition_hash: str, author_id: str) -> str:
    return instance.signer.routine_token("\n".join([str(issued_at), workspace_id, definition_hash, author_id]))
