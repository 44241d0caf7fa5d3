"""An operation that is to go says so, on the wire and in the headers' standard forms."""

import pytest

from resolvers.kernel.declarations.operation import Deprecation
from rest_compat.http.routes import ROUTES
from tests.world import World

pytestmark = pytest.mark.anyio


async def test_the_headers_say_since_when_until_when_and_what_instead(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    (route,) = [route for route in ROUTES if route.operation.name == "labels.list"]
    before = await world.rest(world.viewer, "GET", "/api/v1/labels")
    assert not {"deprecation", "sunset", "link"} & before.headers.keys()
    monkeypatch.setattr(route.operation, "deprecated", Deprecation("2026-01-01", "2027-01-01", "/api/v2/labels"))
    after = await world.rest(world.viewer, "GET", "/api/v1/labels")
    assert after.headers["deprecation"] == "@1767225600"
    assert after.headers["sunset"] == "Fri, 01 Jan 2027 00:00:00 GMT"
    assert after.headers["link"] == '</api/v2/labels>; rel="successor-version"'
