"""Which callers count as sitting at the machine: clients of the unix socket and, on a server without a configured proxy
or public URL, of loopback.
"""

from urllib.parse import urlsplit

from resolvers.identity.caller import Caller
from resolvers.instance.addresses import AddressReach, parse_address, reach
from resolvers.instance.settings import Settings


def is_at_the_machine(caller: Caller, settings: Settings) -> bool:
    """Returns true if, as far as the service can know, a program of this machine makes the call for itself.

    Forwarders of connections (ssh -R, socat, a balancer in TCP mode) are such programs, and their clients can send any
    Host. So no TCP call counts once a public URL or a proxy is configured. Without either, the check of Host excludes
    pages whose name resolves to 127.0.0.1 (DNS rebinding), and proxies that pass on the name of their upstream.
    """
    if caller.forwarded:
        return False
    if caller.local_socket:
        return True
    if _stands_behind_another(settings):
        return False
    return reach(caller.client) is AddressReach.LOOPBACK and _names_loopback(caller.origin)


def is_alone_on_loopback(settings: Settings) -> bool:
    """Returns true if only programs of this machine reach the port, and no proxy is configured."""
    return _is_loopback(settings.host) and not _stands_behind_another(settings)


def _stands_behind_another(settings: Settings) -> bool:
    return settings.public_url is not None or bool(settings.trusted_proxy_cidrs)


def _names_loopback(origin: str) -> bool:
    try:
        return _is_loopback(urlsplit(origin).hostname or "")
    except ValueError:
        return False


def _is_loopback(host: str) -> bool:
    if parse_address(host) is not None:
        return reach(host) is AddressReach.LOOPBACK
    return host == "localhost" or host.endswith(".localhost")
