"""Checks the configuration that a client sends with a crew, and stores it unchanged."""

from collections.abc import Callable
from typing import Any, Final

from models.staff.crews import Crew, NetworkMode
from resolvers.rules.allowed_domains import domains_on_create, domains_on_update, parse_network_mode
from resolvers.rules.devcontainer import check_devcontainer_size, normalise_on_create, parse_devcontainer
from resolvers.rules.escalation import parse_escalation_config
from resolvers.rules.image_reference import parse_image_reference
from resolvers.rules.mcp_config import parse_mcp_config
from resolvers.rules.mise import check_mise_size, parse_mise
from resolvers.rules.services import check_services_size, parse_services

CHECKS: Final[dict[str, Callable[[str], object]]] = {
    "mcp_config_json": parse_mcp_config,
    "escalation_config": parse_escalation_config,
    "runtime_image": parse_image_reference,
    "devcontainer_config": parse_devcontainer,
    "mise_config": parse_mise,
    "services_json": parse_services,
}
CLEARED_BY_EMPTY: Final = CHECKS.keys() - {"mcp_config_json"} | {"issue_prefix"}
BUILT_INTO_IMAGE: Final = ("runtime_image", "devcontainer_config", "mise_config")


def stored_on_create(given: dict[str, Any]) -> dict[str, Any]:
    """The network and the texts of a new crew. The contract fixes the order of faults: the network, sizes, then text by
    text.
    """
    mode = parse_network_mode(given["network_mode"]) if given["network_mode"] else NetworkMode.restricted
    domains = domains_on_create(mode, given["allowed_domains"])
    devcontainer, mise, services, image = (
        given["devcontainer_config"],
        given["mise_config"],
        given["services_json"].strip(),
        given["runtime_image"],
    )
    check_devcontainer_size(devcontainer)
    check_mise_size(mise)
    check_services_size(services)
    if devcontainer:
        devcontainer, _ = normalise_on_create(devcontainer)
    if mise:
        parse_mise(mise)
    if services:
        parse_services(services)
    if image:
        parse_image_reference(image)
    texts = {
        "devcontainer_config": devcontainer or None,
        "mise_config": mise or None,
        "services_json": services or None,
        "runtime_image": image or None,
    }
    return {"network_mode": mode, "allowed_domains": domains, **texts}


def stored_on_update(crew: Crew, sent: dict[str, Any]) -> dict[str, Any]:
    """The columns that change. Texts of the image forget the image built from them, even when they are the same."""
    changes = dict(sent)
    if "network_mode" in sent or "allowed_domains" in sent:
        mode = parse_network_mode(sent["network_mode"]) if "network_mode" in sent else None
        changes["network_mode"] = mode or crew.network_mode
        changes["allowed_domains"] = domains_on_update(
            mode, crew.network_mode, sent.get("allowed_domains"), crew.allowed_domains
        )
    if "services_json" in sent:
        changes["services_json"] = sent["services_json"].strip()
    for name, check in CHECKS.items():
        if changes.get(name):
            check(changes[name])
    for name in CLEARED_BY_EMPTY:
        if changes.get(name) == "":
            changes[name] = None
    if changes.get("container_ttl_hours") == 0:
        changes["container_ttl_hours"] = None
    if any(name in sent for name in BUILT_INTO_IMAGE):
        changes |= {"cached_image": None, "config_hash": None, "build": None}
    return changes
