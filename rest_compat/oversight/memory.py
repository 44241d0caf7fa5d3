"""REST: memories."""

import base64
from typing import Any

import orjson

from resolvers.kernel.declarations.operation import Answer
from resolvers.oversight import memory
from rest_compat.http.dispatch import body_of
from rest_compat.http.table import GET, POST, Download, Form, Reply, Request

MEMORY = "/api/v1/memory"
PROPOSED = "/api/v1/consolidate/proposed/{proposalId}"


def _bytes(_: Request, answer: Answer) -> Reply:
    """The bytes as they were written, and the rest in headers."""
    found = orjson.loads(answer.body or b"")
    headers = [
        (b"content-type", b"application/octet-stream"),
        (b"x-memory-version-sha", found["sha256"].encode()),
        (b"x-memory-version-bytes", b"%d" % found["bytes"]),
    ]
    return Reply(200, base64.b64decode(found["content"]), headers)


def _acting(request: Request) -> dict[str, Any]:
    """The agent is named by a header alone."""
    slug = request.headers.get(b"x-acting-agent-slug", b"").decode("latin-1").strip()
    return body_of(request) | {"acting_agent_slug": slug}


ROUTES = (
    GET(f"{MEMORY}/versions", memory.list_memory_history, memory.VersionLog),
    GET(f"{MEMORY}/versions/{{sha}}", memory.get_version_content, memory.VersionContent, answers=_bytes),
    POST(f"{MEMORY}/versions/{{sha}}/restore", memory.restore_memory_version, memory.MemoryRestored),
    GET(f"{MEMORY}/health", memory.get_memory_health, memory.MemoryHealth),
    POST(f"{MEMORY}/search/hybrid", memory.search_memory, memory.MemoryFound),
    GET(
        f"{MEMORY}/export",
        memory.export_memory,
        memory.MemoryExport,
        form=Form(
            "format",
            "zip",
            GET(f"{MEMORY}/export", memory.export_memory_bundle, gives=Download()),
            "`zip` returns a bundle in the open knowledge format.",
        ),
    ),
    POST(f"{MEMORY}/import", memory.import_memory, memory.MemoryImported, body_limit=memory.MOST_BODY),
    POST(
        "/api/v1/consolidate/run",
        memory.run_consolidation,
        memory.ConsolidationStarted,
        status=202,
        reads=lambda request: body_of(request) if request.body.strip() else {},
    ),
    GET(f"{PROPOSED}/explain", memory.explain_proposal, memory.MemoryProposalView),
    GET(f"{PROPOSED}/diff", memory.compare_proposal, memory.MemoryProposalDiff),
    POST(f"{PROPOSED}/approve", memory.approve_proposal, memory.MemoryProposalApproved),
    POST(f"{PROPOSED}/reject", memory.reject_proposal, memory.MemoryProposalRejected, optional_body=True),
    POST(
        "/api/v1/internal/memory/search/hybrid",
        memory.search_memory_as_agent,
        memory.MemoryFound,
        reads=_acting,
    ),
)
