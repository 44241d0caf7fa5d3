"""Where a request comes from: a page of this server, of another one, or no page."""

from typing import Any

from resolvers.instance.addresses import normal_origin, origin_allowed, own_origin, same_host
from resolvers.instance.running import instance

ASKED, SHOWN = (b"json", b"event-stream"), (b"image/", b"text/", b"audio/", b"video/", b"font/")  # in Accept


def is_from_here(transport: Any) -> bool:
    """Returns true unless a page of another host sent the request."""
    headers = transport.headers
    return same_host(headers.get(b"origin"), headers.get(b"referer"), transport.host)


def asked_on_purpose(transport: Any) -> bool:
    """Returns true if a GET is more than a request that a foreign page can trigger in any browser: an image, a link, a
    form.

    Browsers declare the origin of a request (W3C Fetch Metadata). Without that, Origin or Referer names the page, and a
    request that would show or execute the answer has an Accept of other media types without ours.
    """
    headers = transport.headers
    own = own_origin(transport.scheme, transport.host)
    allowed = frozenset(map(normal_origin, instance.settings.allowed_origins))
    origin, site = headers.get(b"origin"), headers.get(b"sec-fetch-site")
    if site is not None and site not in (b"same-origin", b"none"):
        return origin is not None and origin_allowed(origin, None, own=own, allowed=allowed)
    if site is None and not origin_allowed(origin, headers.get(b"referer"), own=own, allowed=allowed):
        return False
    accept = headers.get(b"accept", b"*/*").lower()
    return site is not None or any(kind in accept for kind in ASKED) or not any(kind in accept for kind in SHOWN)
