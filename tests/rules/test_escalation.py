"""escalation_config."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resolvers.rules.escalation import EscalationConfig, parse_escalation_config
from tests.every import each_of
from tests.rules.refusals import refused
from tests.rules.texts import anything, json_values, value_or_refusal

THRESHOLDS = ("auto_approve_threshold", "notify_threshold", "require_approval_below")


def test_accepted() -> None:
    text = '{"auto_approve_threshold": 0.9, "notify_threshold": 1, "require_approval_below": 0.5, "other": []}'
    assert parse_escalation_config(text) == EscalationConfig(
        auto_approve_threshold=0.9, notify_threshold=1, require_approval_below=0.5
    )


@each_of(
    "text",
    [
        "{}",
        '{"notify_threshold": null}',
        '{"auto_approve_threshold": 0.1}',
        '{"require_approval_below": 0.9}',
        '{"auto_approve_threshold": 0, "require_approval_below": 0.9}',
        '{"auto_approve_threshold": 0.1, "require_approval_below": 0}',
        '{"auto_approve_threshold": 0, "require_approval_below": 0}',
        '{"auto_approve_threshold": 0.500001, "require_approval_below": 0.5}',
        '{"auto_approve_threshold": 0.9, "auto_approve_threshold": 0}',
    ],
)
def test_also_accepted(text: str) -> None:
    parse_escalation_config(text)


@pytest.mark.parametrize("approve", ["0.5", "0.4"])
def test_approving_alone_takes_more_than_asking(approve: str) -> None:
    with refused("escalation_config", "must exceed"):
        parse_escalation_config(f'{{"auto_approve_threshold": {approve}, "require_approval_below": 0.5}}')


@each_of("value", ["-0.1", "1.0001", "2", '"0.5"', "true", "[]", "{}", "1e300"])
@each_of("name", THRESHOLDS)
def test_shares_lie_between_0_and_1(name: str, value: str) -> None:
    with refused("escalation_config", name):
        parse_escalation_config(f'{{"{name}": {value}}}')


@each_of("text", ["", "[]", "null", "0.5", '{"notify_threshold": NaN}', '{"notify_threshold": 1e999}'])
def test_refused(text: str) -> None:
    with refused("escalation_config"):
        parse_escalation_config(text)


shares = st.none() | st.floats(0, 1) | st.sampled_from([0, 1, 0.5, -1, 2]) | json_values


@given(
    anything
    | st.fixed_dictionaries({}, optional=dict.fromkeys(THRESHOLDS, shares)).map(lambda d: orjson.dumps(d).decode())
)
def test_total(text: str) -> None:
    config: EscalationConfig | None = value_or_refusal(parse_escalation_config, text)
    if config is not None:
        approve, below = config.auto_approve_threshold or 0, config.require_approval_below or 0
        assert not (approve and below) or approve > below
        assert all(0 <= (getattr(config, name) or 0) <= 1 for name in THRESHOLDS)
