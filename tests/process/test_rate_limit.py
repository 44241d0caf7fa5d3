"""The buckets of the rate limits: exact, and bounded in memory."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crewship.perimeter.rate_limit import MINUTE, TokenBuckets


class Clock:
    def __init__(self) -> None:
        self.now = 10**18

    def __call__(self) -> int:
        return self.now


@given(
    st.sampled_from([1, 2, 3, 10, 60, 120]),
    st.lists(st.tuples(st.integers(0, MINUTE), st.integers(1, 150)), max_size=20),
)
def test_a_bucket_is_the_textbooks_bucket(size: int, visits: list[tuple[int, int]]) -> None:
    clock = Clock()
    buckets, tokens = TokenBuckets(size, clock), Fraction(size)
    for pause, tries in visits:
        clock.now += pause
        tokens = min(Fraction(size), tokens + Fraction(pause * size, MINUTE))
        for _ in range(tries):
            assert buckets.take("client") is (tokens >= 1)
            tokens -= tokens >= 1


def test_memory_is_bounded_and_the_refused_stay_refused() -> None:
    clock = Clock()
    buckets = TokenBuckets(3, clock, max_clients=100)
    assert [buckets.take("greedy") for _ in range(4)] == [True, True, True, False]
    for number in range(10_000):
        assert buckets.take(f"client {number}")
        assert len(buckets) <= 100
    assert not buckets.take("greedy")
    clock.now += MINUTE
    assert buckets.take("greedy")


def test_a_bucket_of_nothing_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="at least one"):
        TokenBuckets(0, Clock())
