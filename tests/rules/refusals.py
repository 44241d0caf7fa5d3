"""How the tests of rules expect a refusal."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from resolvers.errors import Code, Refusal


@contextmanager
def refused(field: str, *words: str) -> Iterator[None]:
    """The block refuses `field`, in a text that names it and holds every one of `words`."""
    with pytest.raises(Refusal) as caught:
        yield
    refusal = caught.value
    assert refusal.code is Code.BAD_REQUEST
    assert list(refusal.fields) == [field]
    assert field in refusal.detail
    for word in words:
        assert word in refusal.detail
