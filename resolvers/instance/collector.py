"""Sends what a process measured to the operator's collector, by OTLP over HTTP with protobuf."""

from importlib.metadata import version
from typing import Final

from resolvers.errors import Refusal
from resolvers.instance.outbound import Policy
from resolvers.instance.running import instance
from resolvers.instance.telemetry import log

TIME: Final = 30.0  # seconds
ANSWER: Final = 4096  # bytes that are read of an answer
BUSY: Final = frozenset({408, 429, 502, 503, 504})  # OTLP: what is tried again


class NotExported(Exception):
    """It has to be tried again. The text names neither address nor answer."""


async def post(address: str, body: bytes, *, of: str, time: float = TIME) -> bool:
    """Returns whether the collector took it; a refusal is logged, with `of`. Raises NotExported."""
    headers = {"content-type": "application/x-protobuf", "user-agent": f"crewship/{version('crewship')}"}
    try:
        async with instance.http(Policy.CONFIGURED, timeout=time, most=ANSWER, cut=True) as http:
            answer = await http.post(address, body, headers=headers | _secrets())
    except Refusal:
        raise NotExported("the collector cannot be reached") from None
    if answer.status in BUSY:
        raise NotExported(f"the collector answered with status {answer.status}")
    taken = 200 <= answer.status < 300
    if not taken:
        log.warning(f"the collector of {of} refuses", status=answer.status)
    return taken


def _secrets() -> dict[str, str]:
    """W3C baggage format, as OTEL_EXPORTER_OTLP_HEADERS has it."""
    from opentelemetry.util.re import parse_env_headers

    given = instance.settings.otel_headers
    return {} if given is None else dict(parse_env_headers(given.get_secret_value(), liberal=True))
