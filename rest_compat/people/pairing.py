"""REST: pairing of the command line."""

from datetime import datetime
from typing import Annotated, Literal

import orjson

from models.people.pairing import PairStatus
from resolvers.kernel.declarations.operation import Answer
from resolvers.people import pairing
from rest_compat.http.errors import JSON
from rest_compat.http.table import GET, POST, Absent, Output, Reply, Request


class PairingStateJSON(Output):
    """`expires_at` is empty for an unknown code."""

    status: PairStatus
    adapter_hint: Annotated[str | None, Absent()] = None
    expires_at: datetime | Literal[""]


def _answers_state(request: Request, answer: Answer) -> Reply:
    state = orjson.loads(answer.body or b"{}")
    return Reply(200, orjson.dumps(state | {"expires_at": state["expires_at"] or ""}), [JSON])


ROUTES = (
    POST("/api/v1/auth/pair/start", pairing.start_pairing, pairing.StartedPairing, optional_body=True),
    GET("/api/v1/auth/pair/poll", pairing.get_pairing, PairingStateJSON, answers=_answers_state),
    POST("/api/v1/auth/pair/redeem", pairing.redeem_pairing, pairing.RedeemedPairing),
)
