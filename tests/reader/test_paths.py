"""The compiled path and graphql-core's executor give one answer, whatever valid document is sent."""

import pytest

from tests.attacks.graphql import USER
from tests.reader.library import Library, cursors_of

pytestmark = pytest.mark.anyio


async def compare(library: Library, seeds: range) -> None:
    people = [library.world.owner, library.world.owner, library.world.viewer, library.world.outsider]
    answered = compiled = 0
    for seed in seeds:
        written = library.write(seed)
        answer = await library.same(people[seed % len(people)], written.text, written.variables)
        document = await library.compiled.documents.read(written.text, None, USER)
        assert not any(e.original_error is None and "too large" not in e.message for e in document.errors), (
            f"{written.text}\n{document.errors}"
        )
        compiled += not document.errors
        answered += "errors" not in answer
        library.cursors += cursors_of(answer.get("data"))
    assert compiled > len(seeds) * 0.95, "few documents took the compiled path"
    assert answered > len(seeds) / 3, "few documents were answered without an error"


async def test_days_and_times_are_printed_alike(library: Library) -> None:
    answer = await library.same(library.world.owner, "{ modelPrices { nodes { since createdAt } } }")
    nodes = answer["data"]["modelPrices"]["nodes"]
    assert nodes
    assert all(len(node["since"]) == 10 and node["createdAt"].endswith("Z") for node in nodes)


@pytest.mark.slow
async def test_both_paths_give_one_answer(library: Library) -> None:
    await compare(library, range(100))


@pytest.mark.slow
async def test_both_paths_give_one_answer_to_thousands_of_documents(library: Library) -> None:
    await compare(library, range(1_000, 4_000))
