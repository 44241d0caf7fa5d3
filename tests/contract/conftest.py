from typing import Any

from tests.contract.notation import PROSE
from tests.generation.estate import estate  # noqa: F401


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Prints the parts of the contract that no test could read, so that people read them."""
    shown = {where: notations for where, notations in PROSE.items() if not where.startswith("test")}
    if shown:
        terminalreporter.section("contract: prose, compared on presence only")
        for where, notations in sorted(shown.items()):
            for notation in sorted(notations):
                terminalreporter.line(f"{where}: {notation}")
