"""What was measured, as the text of bench/scale.md."""

import datetime
import os
import platform

from tests.scale.measuring import Measured
from tests.scale.population import OWN, WHOLE
from tests.scale.reading import DEEPEST, READS, WRITES, Kind

HEAD = """# Scale

What a call costs when every list of a workspace has so many rows. Written by `make scale` (about ten minutes, 5 GB of
disk; `SCALE_ROWS` names other sizes).

{machine}. Others may have used the machine meanwhile: buffers are what counts, milliseconds are as measured.

| column | |
| --- | --- |
| kind | what it costs; see below |
| p50 ms | of an answer, over a socket of this machine; `413` where the answer is refused as too large |
| buffers | pages of 8 KiB that the call's statements read, under row-level security, with generic plans |
| slope | of buffers, from the last size but one: before that, pages are not full yet, and indexes have a level less |

Kinds: `page` costs its page, whatever the size. `skipped` costs an index entry for each row that the offset skips,
{deepest:,} at most here. `bounded` looks at the newest rows, 20,000 at most.
`counted` counts rows by contract, and grows with them. `whole` has no pages; {whole:,} rows at most here
({own:,} workspaces). `write` is a command.

Filters find a page of the oldest rows: whoever looks for them from the newest on would pass all the others. One agent
has a tenth of all chats and runs, one chat has all messages, and one agent all entries of the log.

Counted by contract: `totalCount` of every connection; the total and statistics of `GET /api/v1/runs`; `_count` of
agents, crews and workspaces; `crews-status`.
"""


def written(measured: Measured) -> str:
    sizes = list(measured.sizes)
    columns = [
        "call",
        "kind",
        *(f"p50 ms at {size:,}" for size in sizes),
        *(f"buffers at {size:,}" for size in sizes),
        "slope",
    ]
    machine = (
        f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d};"
        f" {os.cpu_count()} cores, {platform.system()} {platform.machine()}, Python {platform.python_version()}"
    )
    lines = [HEAD.format(machine=machine, deepest=DEEPEST, whole=WHOLE, own=OWN)]
    lines += ["| " + " | ".join(columns) + " |", "| --- | --- |" + " --: |" * (len(columns) - 2)]
    kinds: dict[str, Kind | str] = {read.name: read.kind for read in READS} | dict.fromkeys(WRITES, "write")
    for name, kind in kinds.items():
        costs = [measured.costs[size][name] for size in sizes]
        times = [f"{cost.p50:.1f}" if cost.status == 200 else str(cost.status) for cost in costs]
        refused = any(cost.status != 200 for cost in costs)
        slope = "" if refused or len(costs) < 2 else f"{costs[-1].buffers / max(1, costs[-2].buffers):.2f}"
        lines.append("| " + " | ".join([name, kind, *times, *(str(cost.buffers) for cost in costs), slope]) + " |")
    swept = measured.swept
    if swept is not None:
        lines += [
            "",
            f"## The sweep of {swept.rows:,} events, {swept.rows:,} frames and {swept.rows:,} idempotency keys",
            "",
            (
                "| whole | portions | longest portion,"
                " a transaction each | median wait of a listener for an event of that time | longest |"
            ),
            "| --: | --: | --: | --: | --: |",
            (
                f"| {swept.whole:.1f} s | {len(swept.portions)} | {max(swept.portions):.2f} s |"
                f" {sorted(swept.waited)[len(swept.waited) // 2] * 1000:.0f} ms | {max(swept.waited) * 1000:.0f} ms |"
            ),
        ]
    return "\n".join(lines) + "\n"
