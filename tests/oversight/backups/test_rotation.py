"""Which bundles a rotation deletes: by number, by age, and never the last good one in favour of damaged ones."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from resolvers.instance.bundles.rotation import Named, named, outdated
from tests.every import each_of

NOW = datetime(2026, 12, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Kept:
    """`state`: good, bad (its manifest is read, and its payload is changed) or torn."""

    days: int
    state: str

    @property
    def at(self) -> datetime:
        return NOW - timedelta(days=self.days)

    @property
    def damaged(self) -> bool:
        return self.state == "torn"


@each_of(
    "states, last, days, gone",
    [
        ("good good good", 2, 0, [2]),
        ("good good good", 0, 1, [2]),
        ("good good good", 2, 1, [2]),
        ("torn good good", 1, 0, [2]),
        ("torn torn good", 1, 0, []),
        ("good torn good", 1, 0, [1, 2]),
        ("bad good good", 1, 0, [2]),
        ("bad torn good", 1, 0, [1]),
        ("bad bad bad", 1, 0, [1, 2]),
        ("torn torn good", 0, 1, []),
        ("good good", 0, 0, []),
    ],
)
def test_good_bundles_are_counted(states: str, last: int, days: int, gone: list[int]) -> None:
    found = [Kept(number, state) for number, state in enumerate(states.split())]
    asked = list[Kept]()

    def is_whole(each: Kept) -> bool:
        asked.append(each)
        return each.state == "good"

    assert [each.days for each in outdated(found, last, days, is_whole, NOW)] == gone
    assert len(asked) == len(set(asked))


def test_all_that_are_too_old_go_where_none_is_damaged() -> None:
    found = [Kept(40, "good"), Kept(50, "good")]
    assert outdated(found, 0, 30, lambda _: True, NOW) == found
    found = [Kept(40, "torn"), Kept(50, "good"), Kept(60, "good")]
    assert [each.days for each in outdated(found, 0, 30, lambda _: True, NOW)] == [40, 60]


def test_only_as_much_is_read_as_needs_to_be() -> None:
    read = list[int]()
    found = [Kept(number, "good") for number in range(5)]
    outdated(found, 3, 0, lambda each: not read.append(each.days), NOW)
    assert read == [0]


@each_of(
    "name, scope, slug, at",
    [
        ("crewship-instance-20261130T120000Z.tar.zst", "instance", None, NOW - timedelta(hours=12)),
        ("crewship-workspace-on-deck-20261130T120000Z-2.tar.zst", "workspace", "on-deck", NOW - timedelta(hours=12)),
        ("crewship-instance-20269930T120000Z.tar.zst", "instance", None, NOW),
        ("copy.tar.zst", None, None, NOW),
    ],
)
def test_a_name_says_scope_workspace_and_time(name: str, scope: str, slug: str, at: datetime) -> None:
    assert named(name, NOW.timestamp()) == Named(scope, slug, at)
