"""What policies make of actions: every cell of the contract's table, read from where it stands."""

import re
from pathlib import Path

from models.staff.crews import AutonomyLevel, BehaviorMode
from resolvers.rules.autonomy import PolicyAction, decide
from tests.every import each_of

CONTRACT = (Path(__file__).parents[1] / "contract" / "files" / "policies.yaml").read_text()
ROWS = dict(re.findall(r"^    (\w+): \[PolicyDecision\] +# (.+)$", CONTRACT, re.MULTILINE))
NAMES = {f"behavior_deny_{mode}": mode for mode in BehaviorMode} | {str(action): action for action in PolicyAction}


@each_of("name", NAMES)
def test_every_action_resolves_as_the_contract_says(name: str) -> None:
    row = ROWS[name].replace("rejected at every level", ", ".join(["rejected"] * 4))
    cells = [re.sub(r"\(.*as (\w+)\)", r"\1", cell.strip()) for cell in row.split(", ")]
    assert [str(decide(NAMES[name], level)) for level in AutonomyLevel] == cells  # type: ignore[arg-type]


def test_the_contract_names_no_other_action() -> None:
    assert set(ROWS) == set(NAMES)
