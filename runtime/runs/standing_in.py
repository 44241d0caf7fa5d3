"""A command that the keeper has allowed uses a secret that never enters its sandbox, where its hosts are known."""

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from resolvers.instance.ports import CommandOfAgent
from resolvers.instance.telemetry import log
from runtime.egress.stand_ins import StandIn, StandIns, client, stand_in_for
from runtime.sandbox import Sandbox
from runtime.sandbox.namespace import Bubblewrap

AUTHORITIES: Final = "/run/authorities.pem"
TRUSTS: Final = (
    "SSL_CERT_FILE", "CURL_CA_BUNDLE", "GIT_SSL_CAINFO", "REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS", "PIP_CERT",
    "AWS_CA_BUNDLE", "CARGO_HTTP_CAINFO", "DENO_CERT",
)  # fmt: skip
"""The variables in which programs look for trusted authorities."""
_BUNDLES: Final = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem")


@dataclass(frozen=True, slots=True)
class StoodIn:
    """The variables and files of a command with placeholders."""

    environment: Mapping[str, str]
    files: Mapping[str, bytes]
    stand_ins: StandIns


async def stood_in(command: CommandOfAgent, sandbox: Sandbox) -> StoodIn | None:
    """None where the value itself has to be given: no hosts are known, or nothing of ours is on the way to them."""
    if not command.hosts or not command.reaches_out:
        return None
    if not isinstance(sandbox, Bubblewrap) or not sandbox.networks:
        return None
    bundle = await asyncio.to_thread(_trusted)
    if bundle is None:
        log.warning("no certificate bundle was found: secrets are given without a placeholder")
        return None
    variables, stand_ins = dict.fromkeys(TRUSTS, AUTHORITIES), list[StandIn]()
    for name, value in command.environment.items():
        if (shown := stand_in_for(value)) is None:
            return None
        variables[name] = shown
        stand_ins.append(StandIn(shown, value, command.hosts))
    made = StandIns(stand_ins)
    return StoodIn(variables, {AUTHORITIES: bundle + b"\n" + made.certificate}, made)


@cache
def _trusted() -> bytes | None:
    """The authorities that a sandbox trusts by default, from the system's files. The proxy verifies hosts by the same
    ones.
    """
    client()
    named = ssl.get_default_verify_paths().cafile
    for path in (*_BUNDLES, *([named] if named else [])):
        if Path(path).is_file():
            return Path(path).read_bytes()
    return None
