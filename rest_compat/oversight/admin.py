"""REST: administration."""

import base64
from urllib.parse import quote

import orjson
from pydantic import Field

from models.people.workspaces import Workspace
from resolvers.kernel.declarations.operation import Answer
from resolvers.oversight import admin
from rest_compat.http.table import DELETE, GET, PATCH, POST, PUT, Download, Reply, Request, ValueOf, Wire


class AdminStatsJSON(Wire, of=admin.AdminStats):
    fields = "workspaces users agents crews running"


class UserWorkspaceJSON(Wire, of=Workspace):
    fields = "id name slug"


class AdminUserJSON(Wire, of=admin.AdminUser):
    """`created_at` is when the account was created."""

    fields = "id email full_name avatar_url created_at workspace role"
    workspace: UserWorkspaceJSON


class AdminWorkspaceJSON(Wire, of=admin.AdminWorkspace):
    fields = "id name slug created_at updated_at member_count agent_count crew_count"
    member_count: int = Field(alias="_count_members")
    agent_count: int = Field(alias="_count_agents")
    crew_count: int = Field(alias="_count_crews")


def _text_of_version(_: Request, answer: Answer) -> Reply:
    """The bytes as they were written, and the rest in headers."""
    found = orjson.loads(answer.body or b"")
    content = base64.b64decode(found["content"])
    markdown = found["path"].endswith(".md")
    told = {name: str(found[name]) for name in ("sha256", "bytes", "tier", "path", "written_at", "written_by")}
    headers = [(b"content-type", b"text/markdown; charset=utf-8" if markdown else b"application/octet-stream")]
    headers += [
        (f"x-memory-{name.replace('_', '-')}".encode(), quote(value, safe=READABLE).encode())
        for name, value in told.items()
    ]
    return Reply(200, content, [*headers, (b"cache-control", b"private, max-age=31536000, immutable")])


READABLE = "/:@ !#$&'()*+,;=?[]~"  # in a header; other letters are percent-encoded
ADMIN = "/api/v1/admin"
ROUTES = (
    GET(f"{ADMIN}/stats", admin.admin_stats, AdminStatsJSON),
    GET(f"{ADMIN}/users", admin.admin_users, list[AdminUserJSON]),
    GET(f"{ADMIN}/workspaces", admin.admin_workspaces, list[AdminWorkspaceJSON]),
    GET(f"{ADMIN}/users/{{userId}}/data", admin.export_personal_data, admin.PersonalDataExport),
    DELETE(
        f"{ADMIN}/users/{{userId}}/data",
        admin.delete_personal_data,
        admin.PersonalDataDeleted,
        status=202,
        with_body=True,
    ),
    POST(f"{ADMIN}/users/{{userId}}/erase", admin.erase_person, admin.PersonErased),
    POST(f"{ADMIN}/users/{{userId}}/archive", admin.archive_person, admin.GdprReceipt, status=202),
    GET(f"{ADMIN}/gdpr-actions/{{id}}", admin.get_receipt, admin.GdprReceipt),
    GET(f"{ADMIN}/gdpr-actions/{{id}}/archive", admin.download_archive, gives=Download()),
    GET(f"{ADMIN}/memory/stats", admin.memory_stats, admin.MemoryStats),
    GET(f"{ADMIN}/memory/versions", admin.list_memory_versions, admin.MemoryVersionList),
    GET(
        f"{ADMIN}/memory/versions/{{id}}/content",
        admin.memory_version_content,
        admin.MemoryVersionContent,
        answers=_text_of_version,
    ),
    GET(f"{ADMIN}/memory/config", admin.get_memory_config, admin.MemoryConfiguration),
    PATCH(
        f"{ADMIN}/memory/config",
        admin.update_memory_config,
        admin.MemoryConfiguration,
        body=ValueOf("config"),
        body_limit=16 << 10,
    ),
    GET(f"{ADMIN}/retention", admin.list_retention, list[admin.Retention]),
    PUT(f"{ADMIN}/retention/{{kind}}", admin.set_retention, admin.Retention),
    GET(f"{ADMIN}/log-level", admin.get_log_level, admin.LogLevelState),
    PUT(f"{ADMIN}/log-level", admin.set_log_level, admin.LogLevelState),
    GET(f"{ADMIN}/health", admin.admin_health, admin.AdminHealth),
    GET(f"{ADMIN}/journal/verify", admin.verify_journal, admin.ChainVerification),
    GET(f"{ADMIN}/security-posture", admin.get_security_posture, admin.Posture),
    GET(f"{ADMIN}/rate-limits", admin.list_rate_limits, admin.Limiters),
    PUT(f"{ADMIN}/rate-limits/{{key}}", admin.set_rate_limit, admin.Limiter),
    DELETE(f"{ADMIN}/rate-limits/{{key}}", admin.reset_rate_limit, admin.Limiter),
    GET(f"{ADMIN}/legacy-resources", admin.detect_legacy_resources, admin.LegacyResources),
    POST(f"{ADMIN}/prune-legacy-resources", admin.prune_legacy_resources, admin.Pruned),
    POST(f"{ADMIN}/prune-crew-runtimes", admin.prune_crew_runtimes, admin.Pruned),
    POST(f"{ADMIN}/reap-orphan-containers", admin.reap_orphan_containers, admin.Reaped, in_query=("apply",)),
    POST(f"{ADMIN}/reencrypt", admin.reencrypt_secrets, admin.Reencrypted),
)
