"""The headers that carry a credential to an MCP server (contract: integrations, rules.runtime)."""

import re
from collections.abc import Mapping

from models.resources.integrations import CredentialPlacement

SENDABLE = re.compile(r"[\x21-\x7e]+(?: [\x21-\x7e]+)*")


def headers_with(placement: CredentialPlacement, header: str | None, value: str | None) -> Mapping[str, str]:
    """None if there is no value, or no header can hold it; an `api_key` needs the header's name."""
    if value is None or SENDABLE.fullmatch(value) is None:
        return {}
    if placement is CredentialPlacement.api_key:
        return {header.lower(): value} if header else {}
    return {"authorization": f"{'Basic' if placement is CredentialPlacement.basic else 'Bearer'} {value}"}
