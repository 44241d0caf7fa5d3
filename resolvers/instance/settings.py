"""Settings from the environment. The names of the variables are the contract's (`conventions.yaml`, `env`)."""

import os
import pwd
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import (
    AliasChoices,
    BeforeValidator,
    Field,
    NonNegativeInt,
    PositiveInt,
    SecretStr,
    ValidationError,
    model_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict

from models.address import AddressError
from resolvers.instance.setting_types import (
    AesKey,
    CollectorUrl,
    DatabaseUrl,
    Days,
    Directory,
    Domains,
    Failures,
    HexKey,
    KeptDays,
    Limit,
    LockSeconds,
    Milliseconds,
    ModelName,
    Networks,
    NumberedKeys,
    Origins,
    RedisUrl,
    Sender,
    SmtpUrl,
    duration,
    exactly_true,
    origin,
    server,
    variable,
)
from resolvers.instance.sign_in_providers import SignInProvider, configured

# What bind() takes on Linux, the closing zero left off.
MAX_SOCKET_PATH = 107


class SettingsError(Exception):
    """The environment is wrong; the text names each variable and what it takes, and shows no secret."""


def default_data_dir() -> Path:
    """`crewship` in the user's data directory; `.data` in the current one without a home (containers, system users)."""
    if shared := os.environ.get("XDG_DATA_HOME"):
        return _within(Path(shared))
    home = os.environ.get("HOME", "")
    if not home:
        try:
            home = pwd.getpwuid(os.getuid()).pw_dir
        except KeyError:
            return Path.cwd() / ".data"
    return _within(Path(home) / ".local/share") if os.access(home, os.W_OK) else Path.cwd() / ".data"


def _within(shared: Path) -> Path:
    return Path(os.path.abspath(shared)) / "crewship"


DOCKER: Final = "unix:///var/run/docker.sock"
BOOLEAN = "a boolean: true or false"
SENDER = "a sender such as Crewship <no-reply@example.com>"
PROVIDER = "the name of a provider, or none"
MODEL = "the name of a model"
TIMEOUT = "a duration such as 5s or 1m30s, or milliseconds"
A_MINUTE = "a number of requests a minute, at least 1"


class Settings(BaseSettings):
    """Immutable; secrets are SecretStr, so that no repr or log line shows one. An empty variable counts as unset."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="ignore",
        case_sensitive=True,
        env_ignore_empty=True,
        hide_input_in_errors=True,
        populate_by_name=True,
        validate_default=True,
    )

    host: str = variable("CREWSHIP_HOST", "127.0.0.1", takes="an address to listen on, such as 127.0.0.1 or 0.0.0.0")
    port: int = variable("CREWSHIP_PORT", 8080, takes="a port number from 0 (any free port) to 65535", ge=0, le=65535)
    workers: PositiveInt = variable("CREWSHIP_WORKERS", 1, takes="a number of processes, at least 1")
    role: Literal["all", "api", "worker"] = variable("CREWSHIP_ROLE", "all", takes="all, api or worker")
    data_dir: Directory = variable("CREWSHIP_DATA_DIR", default_factory=default_data_dir, takes="a directory")
    socket_path: Directory = variable(
        "CREWSHIP_SOCKET_PATH",
        default_factory=lambda data: data["data_dir"] / "run" / "crewship.sock",
        takes="a file path",
    )
    public_url: Annotated[str, BeforeValidator(origin)] | None = variable(
        "CREWSHIP_PUBLIC_URL", takes="an origin such as https://crewship.example.com"
    )
    env: str = variable("CREWSHIP_ENV", "", takes="a name; prod and production tighten the rules")

    database_url: DatabaseUrl | None = variable(
        "DATABASE_URL", takes="a URL such as postgresql://user:password@host:5432/database"
    )
    database_direct_url: DatabaseUrl | None = variable(
        "CREWSHIP_DATABASE_DIRECT_URL",
        takes="a URL such as postgresql://user:password@host:5432/database (PostgreSQL itself, past a pooler)",
    )
    migration_database_url: DatabaseUrl | None = variable(
        "CREWSHIP_MIGRATION_DATABASE_URL",
        takes="a URL such as postgresql://owner:password@host:5432/database (the role that owns the tables)",
    )
    database_replica_url: DatabaseUrl | None = variable("CREWSHIP_DATABASE_REPLICA_URL", takes="a database URL")
    pool_size: PositiveInt = variable("CREWSHIP_POOL_SIZE", 10, takes="a number of database connections, at least 1")
    row_level_security: bool = variable("CREWSHIP_ROW_LEVEL_SECURITY", True, takes=BOOLEAN)

    nextauth_secret: SecretStr | None = variable(
        "NEXTAUTH_SECRET", takes="a secret text of at least 32 bytes (openssl rand -base64 32)"
    )
    nextauth_secret_previous: SecretStr | None = variable(
        "NEXTAUTH_SECRET_PREVIOUS", takes="the previous NEXTAUTH_SECRET"
    )
    encryption_key: AesKey | None = variable("ENCRYPTION_KEY", takes="64 hexadecimal digits (openssl rand -hex 32)")
    encryption_key_v2: AesKey | None = variable(
        "ENCRYPTION_KEY_V2", takes="64 hexadecimal digits (openssl rand -hex 32)"
    )
    encryption_keys: NumberedKeys = variable(
        "CREWSHIP_ENCRYPTION_KEYS",
        {},
        takes="keys by their numbers from 3 on, such as 3:<64 hexadecimal digits>,4:<64 hexadecimal digits>,"
        " or the path of a file with them",
    )
    wrapping_key: Annotated[int, Field(ge=1, le=255)] | None = variable(
        "CREWSHIP_WRAPPING_KEY", takes="the number of the key that wraps: 1 for ENCRYPTION_KEY, 2 for ENCRYPTION_KEY_V2"
    )
    # A server of OpenBao or HashiCorp Vault whose transit engine wraps data keys.
    transit_address: Annotated[str, BeforeValidator(server)] | None = variable(
        "CREWSHIP_TRANSIT_ADDRESS", takes="a URL such as https://bao.example.com:8200 (http on this machine only)"
    )
    transit_mount: str = variable("CREWSHIP_TRANSIT_MOUNT", "transit", takes="the path of a transit engine")
    transit_key: str = variable("CREWSHIP_TRANSIT_KEY", "crewship", takes="the name of a key")
    transit_namespace: str | None = variable("CREWSHIP_TRANSIT_NAMESPACE", takes="the name of a namespace")
    transit_token: SecretStr | None = variable("CREWSHIP_TRANSIT_TOKEN", takes="a secret text")
    transit_token_file: Directory | None = variable("CREWSHIP_TRANSIT_TOKEN_FILE", takes="a file path")
    transit_role_id: str | None = variable("CREWSHIP_TRANSIT_ROLE_ID", takes="the id of an AppRole")
    transit_secret_id: SecretStr | None = variable("CREWSHIP_TRANSIT_SECRET_ID", takes="a secret text")
    transit_secret_id_file: Directory | None = variable("CREWSHIP_TRANSIT_SECRET_ID_FILE", takes="a file path")
    admin_token_hmac_key: HexKey | None = variable(
        "CREWSHIP_ADMIN_TOKEN_HMAC_KEY", takes="at least 64 hexadecimal digits (openssl rand -hex 32)"
    )
    internal_token: SecretStr | None = variable("CREWSHIP_INTERNAL_TOKEN", takes="a secret text")
    metrics_token: SecretStr | None = variable("CREWSHIP_METRICS_TOKEN", takes="a secret text")
    # Where traces of runs and metrics are sent, by OTLP over HTTP; the variables are OpenTelemetry's.
    otel_endpoint: CollectorUrl | None = variable(
        "OTEL_EXPORTER_OTLP_ENDPOINT", takes="the URL of a collector, such as http://localhost:4318"
    )
    otel_traces_endpoint: CollectorUrl | None = variable(
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", takes="a URL, such as http://localhost:4318/v1/traces"
    )
    otel_metrics_endpoint: CollectorUrl | None = variable(
        "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", takes="a URL, such as http://localhost:4318/v1/metrics"
    )
    otel_traces_exporter: Literal["otlp", "none"] = variable("OTEL_TRACES_EXPORTER", "otlp", takes="otlp or none")
    otel_metrics_exporter: Literal["otlp", "none"] = variable("OTEL_METRICS_EXPORTER", "otlp", takes="otlp or none")
    otel_metrics_interval: Annotated[int, Field(ge=1000, le=86_400_000)] = variable(
        "OTEL_METRIC_EXPORT_INTERVAL", 60_000, takes="1000 to 86400000 (milliseconds)"
    )
    otel_headers: SecretStr | None = variable("OTEL_EXPORTER_OTLP_HEADERS", takes="name=value, between commas")
    otel_content: bool = variable("CREWSHIP_OTEL_CONTENT", False, takes=BOOLEAN)

    allow_signup: bool = variable("CREWSHIP_ALLOW_SIGNUP", False, takes=BOOLEAN, live=True)
    bootstrap_window: Annotated[NonNegativeInt | None, BeforeValidator(duration)] = variable(
        "CREWSHIP_BOOTSTRAP_WINDOW", takes="a duration such as 90s, 5m or 1h30m"
    )
    allowed_origins: Origins = variable(
        "CREWSHIP_ALLOWED_ORIGINS",
        (),
        takes="origins separated by commas, such as https://a.example,https://b.example:8443",
    )
    trusted_proxy_cidrs: Networks = variable(
        "CREWSHIP_TRUSTED_PROXY_CIDRS", (), takes="addresses or networks, such as 10.0.0.7,192.168.0.0/16"
    )
    force_secure_cookies: bool = variable("CREWSHIP_FORCE_SECURE_COOKIES", False, takes=BOOLEAN)
    internal_allow_any: Annotated[bool, BeforeValidator(exactly_true)] = variable(
        "CREWSHIP_INTERNAL_ALLOW_ANY", False, takes="true, or anything else for false"
    )
    open_schema: bool = variable("CREWSHIP_OPEN_SCHEMA", True, takes=BOOLEAN)
    trusted_documents_only: bool = variable("CREWSHIP_TRUSTED_DOCUMENTS_ONLY", False, takes=BOOLEAN)
    trusted_documents_file: Directory | None = variable("CREWSHIP_TRUSTED_DOCUMENTS_FILE", takes="a file path")
    license_file: Directory | None = variable("CREWSHIP_LICENSE_FILE", takes="a file path")
    license_public_key: str | None = variable("CREWSHIP_LICENSE_PUBLIC_KEY", takes="the base64 of an Ed25519 key")
    max_crews: PositiveInt | None = variable("CREWSHIP_MAX_CREWS", takes="a number of crews, at least 1")
    max_agents_per_crew: PositiveInt | None = variable("CREWSHIP_MAX_AGENTS_PER_CREW", takes="a number, at least 1")
    max_members: PositiveInt | None = variable("CREWSHIP_MAX_MEMBERS", takes="a number of members, at least 1")

    # Requests a minute, per client address and bucket.
    ratelimit_disabled: bool = variable(
        "CREWSHIP_RATELIMIT_DISABLED", False, also="CREWSHIP_DISABLE_RATELIMIT", takes=BOOLEAN
    )
    ratelimit_auth: Limit = variable("CREWSHIP_RATELIMIT_AUTH", 10, takes=A_MINUTE, live=True)
    ratelimit_credential_test: Limit = variable("CREWSHIP_RATELIMIT_CREDENTIAL_TEST", 60, takes=A_MINUTE, live=True)
    ratelimit_credential_reveal: Limit = variable("CREWSHIP_RATELIMIT_CREDENTIAL_REVEAL", 3, takes=A_MINUTE, live=True)
    ratelimit_api: Limit = variable("CREWSHIP_RATELIMIT_API", 120, takes=A_MINUTE, live=True)
    ratelimit_pages: Limit = variable("CREWSHIP_RATELIMIT_PAGES", 600, takes=A_MINUTE, live=True)
    lockout_failures: Failures = variable("CREWSHIP_LOCKOUT_FAILURES", 10, takes="a number from 1 to 1000", live=True)
    lockout_seconds: LockSeconds = variable("CREWSHIP_LOCKOUT_SECONDS", 300, takes="seconds, at most 86400", live=True)
    builds_at_once: Limit = variable("CREWSHIP_BUILDS_AT_ONCE", 8, takes="a number of builds, at least 1", live=True)
    ratelimit_builds: Limit = variable("CREWSHIP_RATELIMIT_BUILDS", 20, takes=A_MINUTE, live=True)
    ratelimit_webhooks: Limit = variable("CREWSHIP_RATELIMIT_WEBHOOKS", 60, takes=A_MINUTE, live=True)

    # Connections at once, of one client address and of one user.
    max_connections: PositiveInt = variable(
        "CREWSHIP_MAX_CONNECTIONS_PER_ADDRESS", 1000, takes="a number of connections, at least 1"
    )
    max_sockets: Limit = variable(
        "CREWSHIP_MAX_SOCKETS_PER_USER", 100, takes="a number of WebSockets, at least 1", live=True
    )

    # How long what is kept for those who come back is kept.
    event_days: Days = variable("CREWSHIP_EVENT_DAYS", 7, takes="a number of days from 1 to 36500", live=True)
    frame_days: Days = variable("CREWSHIP_FRAME_DAYS", 30, takes="a number of days from 1 to 36500", live=True)
    audit_days: KeptDays = variable("CREWSHIP_AUDIT_DAYS", 0, takes="a number of days up to 36500; 0 keeps all")
    hooks_allow_private: bool = variable("CREWSHIP_HOOKS_ALLOW_PRIVATE", False, takes=BOOLEAN)
    # Git hosts, and MCP servers, at addresses of the host's own networks.
    git_allow_private: bool = variable("CREWSHIP_GIT_ALLOW_PRIVATE", False, takes=BOOLEAN)
    mcp_allow_private: bool = variable("CREWSHIP_MCP_ALLOW_PRIVATE", False, takes=BOOLEAN)
    user_models: bool = variable("CREWSHIP_USER_MODELS", False, takes=BOOLEAN)  # a model notes facts about people
    consolidate_hitl: bool = variable("CREWSHIP_CONSOLIDATE_HITL", False, takes=BOOLEAN)  # people decide about rules
    # Administrators of every workspace change the whole server; else those in workspaces of the first user alone.
    instance_admins: bool = variable("CREWSHIP_INSTANCE_ADMINS", False, takes=BOOLEAN)
    owner_email: str | None = variable("CREWSHIP_OWNER_EMAIL", takes="an e-mail address")  # who reads counts of backups
    # MCP servers behind stdio are started, in a sandbox: by runs, coding agents, and who looks after them.
    mcp_stdio: bool = variable("CREWSHIP_MCP_STDIO", False, takes=BOOLEAN)
    mcp_registry_url: Annotated[str, BeforeValidator(origin)] = variable(
        "CREWSHIP_MCP_REGISTRY_URL",
        "https://registry.modelcontextprotocol.io",
        takes="an origin such as https://registry.example.com",
    )
    skip_update_check: bool = variable("CREWSHIP_SKIP_UPDATE_CHECK", False, takes=BOOLEAN)

    # Where agents' work is done, and by what.
    storage_path: Directory = variable(
        "CREWSHIP_STORAGE_BASE_PATH", default_factory=lambda data: data["data_dir"] / "files", takes="a directory"
    )
    # The server backs itself up each day, and keeps so many bundles; without it, nothing is scheduled.
    backup_keep: PositiveInt | None = variable("CREWSHIP_BACKUP_KEEP", takes="a number of bundles, at least 1")
    backup_passphrase: SecretStr | None = variable("CREWSHIP_BACKUP_PASSPHRASE", takes="a secret text")
    backup_incremental: bool = variable("CREWSHIP_BACKUP_INCREMENTAL", False, takes=BOOLEAN)
    postgres_former: Directory | None = variable("CREWSHIP_POSTGRES_FORMER", takes="a directory")
    wal_archive: Directory | None = variable("CREWSHIP_WAL_ARCHIVE", takes="a directory")
    max_concurrent_runs: PositiveInt = variable("CREWSHIP_MAX_CONCURRENT_RUNS", 8, takes="a number of runs, at least 1")
    run_max_tokens: PositiveInt = variable("CREWSHIP_RUN_MAX_TOKENS", 2_000_000, takes="a number of tokens, at least 1")
    run_adapter: Literal["auto", "native", "cli", "local_model", "scripted"] = variable(
        "CREWSHIP_RUN_ADAPTER", "auto", takes="auto, native, cli, local_model or scripted"
    )
    # Where npm has installed coding agents.
    coding_agents: Directory | None = variable("CREWSHIP_CODING_AGENTS", takes="a directory")
    local_model: bool = variable("CREWSHIP_LOCAL_MODEL", False, takes=BOOLEAN)
    unsafe_process: bool = variable("CREWSHIP_UNSAFE_PROCESS", False, takes=BOOLEAN)
    container_provider: Literal["auto", "docker", "apple", "kubernetes"] = variable(
        "CREWSHIP_CONTAINER_PROVIDER", "auto", takes="auto, docker, apple or kubernetes"
    )
    kubernetes_namespace: str | None = variable("CREWSHIP_KUBERNETES_NAMESPACE", takes="a name")
    kubernetes_claim: str | None = variable("CREWSHIP_KUBERNETES_CLAIM", takes="a name")
    kubernetes_policy: str = variable("CREWSHIP_KUBERNETES_POLICY", "crewship-sandboxes", takes="a name")
    kubernetes_runtime_class: str | None = variable("CREWSHIP_KUBERNETES_RUNTIME_CLASS", takes="a name")
    container_socket: Directory | None = variable("CREWSHIP_CONTAINER_SOCKET", takes="a file path")
    # The hosts that builds of crews' images reach; without it, all public ones.
    build_domains: Domains | None = variable("CREWSHIP_BUILD_DOMAINS", takes="names of hosts, between commas")
    runtime_image: str | None = variable("CREWSHIP_RUNTIME_IMAGE", takes="the name of an image")
    command_memory: PositiveInt | None = variable("CREWSHIP_COMMAND_MEMORY_MB", takes="a number of MiB, at least 1")
    # Whether the kernel's control groups hold what commands may take, where the service can make one.
    control_groups: bool = variable("CREWSHIP_CONTROL_GROUPS", True, takes=BOOLEAN)
    crew_storage: PositiveInt = variable("CREWSHIP_CREW_STORAGE_MB", 2048, takes="a number of MiB, at least 1")
    attachment_storage: PositiveInt = variable(
        "CREWSHIP_ATTACHMENT_STORAGE_MB", 10_240, takes="a number of MiB, at least 1"
    )
    coding_storage: PositiveInt = variable("CREWSHIP_CODING_STORAGE_MB", 8_192, takes="a number of MiB, at least 1")
    crew_files: PositiveInt = variable("CREWSHIP_CREW_FILES", 100_000, takes="a number of files, at least 1")
    redis_url: RedisUrl | None = variable("CREWSHIP_REDIS_URL", takes="a URL such as redis://host:6379/0")
    openai_api_key: SecretStr | None = variable("OPENAI_API_KEY", takes="a secret text")
    openai_base_url: str | None = variable(
        "OPENAI_BASE_URL", takes="the URL of an API like OpenAI's, such as https://api.openai.com/v1"
    )
    anthropic_api_key: SecretStr | None = variable("ANTHROPIC_API_KEY", takes="a secret text")
    anthropic_base_url: str | None = variable(
        "ANTHROPIC_BASE_URL", takes="the URL of an API like Anthropic's, such as https://api.anthropic.com"
    )
    gemini_api_key: SecretStr | None = variable("GEMINI_API_KEY", takes="a secret text")
    gemini_base_url: str | None = variable(
        "GOOGLE_GEMINI_BASE_URL",
        takes="the URL of an API like Gemini's, such as https://generativelanguage.googleapis.com",
    )
    ollama_base_url: str | None = variable(
        "OLLAMA_BASE_URL", takes="the URL of an Ollama server, such as http://127.0.0.1:11434"
    )

    # What does auxiliary tasks: a slot whose provider is `none` is left to the fallback.
    aux_curator_provider: ModelName = variable("CREWSHIP_AUX_CURATOR_PROVIDER", "anthropic", takes=PROVIDER)
    aux_curator_model: ModelName = variable("CREWSHIP_AUX_CURATOR_MODEL", "claude-haiku-4-5", takes=MODEL)
    aux_curator_timeout: Milliseconds = variable("CREWSHIP_AUX_CURATOR_TIMEOUT", 30_000, takes=TIMEOUT)
    aux_keeper_provider: ModelName = variable("CREWSHIP_AUX_KEEPER_PROVIDER", "anthropic", takes=PROVIDER)
    aux_keeper_model: ModelName = variable("CREWSHIP_AUX_KEEPER_MODEL", "claude-haiku-4-5", takes=MODEL)
    aux_keeper_timeout: Milliseconds = variable("CREWSHIP_AUX_KEEPER_TIMEOUT", 5_000, takes=TIMEOUT)
    aux_behavior_provider: ModelName = variable("CREWSHIP_AUX_BEHAVIOR_PROVIDER", "anthropic", takes=PROVIDER)
    aux_behavior_model: ModelName = variable("CREWSHIP_AUX_BEHAVIOR_MODEL", "claude-haiku-4-5", takes=MODEL)
    aux_behavior_timeout: Milliseconds = variable("CREWSHIP_AUX_BEHAVIOR_TIMEOUT", 8_000, takes=TIMEOUT)
    aux_memory_health_provider: ModelName = variable("CREWSHIP_AUX_MEMORY_HEALTH_PROVIDER", "anthropic", takes=PROVIDER)
    aux_memory_health_model: ModelName = variable("CREWSHIP_AUX_MEMORY_HEALTH_MODEL", "claude-haiku-4-5", takes=MODEL)
    aux_memory_health_timeout: Milliseconds = variable("CREWSHIP_AUX_MEMORY_HEALTH_TIMEOUT", 15_000, takes=TIMEOUT)
    aux_negative_provider: ModelName = variable("CREWSHIP_AUX_NEGATIVE_PROVIDER", "anthropic", takes=PROVIDER)
    aux_negative_model: ModelName = variable("CREWSHIP_AUX_NEGATIVE_MODEL", "claude-haiku-4-5", takes=MODEL)
    aux_negative_timeout: Milliseconds = variable("CREWSHIP_AUX_NEGATIVE_TIMEOUT", 5_000, takes=TIMEOUT)
    aux_fallback_provider: ModelName = variable("CREWSHIP_AUX_FALLBACK_PROVIDER", "none", takes=PROVIDER)
    aux_fallback_model: ModelName = variable("CREWSHIP_AUX_FALLBACK_MODEL", "", takes=MODEL)
    aux_fallback_timeout: Milliseconds | None = variable("CREWSHIP_AUX_FALLBACK_TIMEOUT", None, takes=TIMEOUT)

    # Who decides whether an agent gets a credential.
    keeper_switch: bool | None = variable("KEEPER_ENABLED", takes=BOOLEAN)
    keeper_address: str | None = variable(
        "KEEPER_OLLAMA_URL", takes="the URL of an Ollama server, such as http://127.0.0.1:11434"
    )
    keeper_model: str | None = variable("KEEPER_MODEL", takes="the name of a model, such as llama3.2:3b")

    sign_in_providers: SecretStr | None = variable(
        "CREWSHIP_SIGN_IN_PROVIDERS", takes="a JSON list of OpenID Connect providers, or the path of a file with one"
    )
    google_client_id: str | None = variable("GOOGLE_CLIENT_ID", takes="a text")
    google_client_secret: SecretStr | None = variable("GOOGLE_CLIENT_SECRET", takes="a secret text")
    smtp_url: SmtpUrl | None = variable(
        "CREWSHIP_SMTP_URL",
        takes="a URL such as smtps://user:password@mail.example.com or smtp://user:password@mail.example.com:587",
    )
    mail_from: Sender | None = variable("CREWSHIP_MAIL_FROM", takes=SENDER)
    resend_api_key: SecretStr | None = variable("RESEND_API_KEY", takes="a secret text")
    resend_from: Sender | None = variable("RESEND_FROM", takes=SENDER)

    log_level: Literal["debug", "info", "warn", "error"] = variable(
        "CREWSHIP_LOG_LEVEL", "info", takes="debug, info, warn or error"
    )
    stalls_file: Directory | None = variable("CREWSHIP_STALLS_FILE", takes="a file path")
    log_format: Literal["json", "text"] = variable("CREWSHIP_LOG_FORMAT", "json", takes="json or text")

    @property
    def keeper_enabled(self) -> bool:
        """An address alone turns the keeper on (contract: keeper, gatekeeper.config)."""
        return bool(self.keeper_address) if self.keeper_switch is None else self.keeper_switch

    @property
    def container_engine(self) -> str | None:
        """The address of the engine that makes crews' containers; None: they have none."""
        if self.container_provider == "kubernetes":
            return "kubernetes:"
        if self.container_socket is not None:
            return f"unix://{self.container_socket}"
        return DOCKER if self.container_provider == "docker" else None

    @property
    def otel_traces(self) -> str | None:
        """Where traces are sent, as OpenTelemetry reads its variables; none: nowhere."""
        return self._collector(self.otel_traces_endpoint, "traces", self.otel_traces_exporter)

    @property
    def otel_metrics(self) -> str | None:
        return self._collector(self.otel_metrics_endpoint, "metrics", self.otel_metrics_exporter)

    def _collector(self, own: SecretStr | None, signal: str, exporter: str) -> str | None:
        if exporter == "none" or (own is None and self.otel_endpoint is None):
            return None
        return own.get_secret_value() if own else f"{self.otel_endpoint.get_secret_value().rstrip('/')}/v1/{signal}"  # type: ignore[union-attr]

    @property
    def production(self) -> bool:
        return self.env.lower() in ("prod", "production")

    @property
    def providers(self) -> tuple[SignInProvider, ...]:
        """The OpenID Connect providers that people may sign in with."""
        found: tuple[SignInProvider, ...] = configured(
            self.sign_in_providers, self.google_client_id, self.google_client_secret
        )
        return found

    @property
    def smtp_enabled(self) -> bool:
        return bool(self.smtp_url and self.mail_from)

    @property
    def resend_enabled(self) -> bool:
        return bool(self.resend_api_key and self.resend_from)

    @model_validator(mode="after")
    def _no_contradiction(self) -> "Settings":
        if (fault := contradiction(self)) is not None:
            raise ValueError(fault)
        return self


def contradiction(settings: Settings) -> str | None:
    """The settings that exclude each other, and what to change."""
    if settings.production and settings.ratelimit_disabled:
        return "CREWSHIP_RATELIMIT_DISABLED: not allowed while CREWSHIP_ENV is prod or production; unset one of the two"
    if settings.trusted_documents_only and settings.trusted_documents_file is None:
        return (
            "CREWSHIP_TRUSTED_DOCUMENTS_ONLY: requires CREWSHIP_TRUSTED_DOCUMENTS_FILE, the list of accepted documents"
        )
    if (settings.transit_address is not None) != (_signs_in(settings) == 1):
        return (
            "CREWSHIP_TRANSIT_ADDRESS: requires one way to sign in: CREWSHIP_TRANSIT_TOKEN, "
            "CREWSHIP_TRANSIT_TOKEN_FILE, or CREWSHIP_TRANSIT_ROLE_ID with CREWSHIP_TRANSIT_SECRET_ID or "
            "CREWSHIP_TRANSIT_SECRET_ID_FILE; and none of them without it"
        )
    if settings.unsafe_process and settings.allow_signup:
        return (
            "CREWSHIP_UNSAFE_PROCESS: not allowed while CREWSHIP_ALLOW_SIGNUP is on,"
            " strangers could run commands; unset one of the two"
        )
    if settings.keeper_enabled and not settings.keeper_model:
        return "KEEPER_MODEL: required while the keeper is on; set it, or KEEPER_ENABLED=false"
    signs_up = [provider.id for provider in settings.providers if provider.signup]  # judges all of them
    if settings.unsafe_process and signs_up:
        return (
            "CREWSHIP_UNSAFE_PROCESS: not allowed while a provider of CREWSHIP_SIGN_IN_PROVIDERS signs people up,"
            " strangers could run commands; unset one of the two"
        )
    if len(os.fsencode(settings.socket_path)) > MAX_SOCKET_PATH:
        return (
            f"CREWSHIP_SOCKET_PATH: {settings.socket_path} is longer than a socket path may be"
            f" ({MAX_SOCKET_PATH} bytes); set a shorter one"
        )
    return None


def _signs_in(settings: Settings) -> int:
    """The number of configured ways to sign in to the transit engine."""
    secrets = [settings.transit_secret_id, settings.transit_secret_id_file]
    role = settings.transit_role_id is not None
    if role != any(each is not None for each in secrets):
        return -1
    tokens = [settings.transit_token, settings.transit_token_file]
    return sum(each is not None for each in [*tokens, *secrets])


def load_settings(**overrides: Any) -> Settings:
    """This process's settings; `overrides` (by field, None: not given) beat the environment. Raises SettingsError."""
    given = {_variables(name)[0]: value for name, value in overrides.items() if value is not None}
    try:
        return Settings(**given)
    except ValidationError as refused:
        seen = {**os.environ, **given}
        # A default that builds on a refused value is an error of its own in pydantic, and noise to a reader.
        errors = [
            error for error in refused.errors(include_input=False) if error["type"] != "default_factory_not_called"
        ]
        lines = [_line(error, seen) for error in errors]
        raise SettingsError("\n".join(dict.fromkeys(lines))) from None


def _line(error: Any, seen: Mapping[str, Any]) -> str:
    if not error["loc"]:
        return str(error["msg"]).removeprefix("Value error, ")
    reason = error.get("ctx", {}).get("error")
    return _explain(str(error["loc"][0]), seen) + (f": {reason}" if isinstance(reason, AddressError) else "")


def _variables(field: str) -> list[str]:
    alias = Settings.model_fields[field].validation_alias
    return [str(choice) for choice in alias.choices] if isinstance(alias, AliasChoices) else [str(alias)]


def _explain(refused: str, seen: Mapping[str, Any]) -> str:
    """One line for one refused setting, named by field or variable. Values of secrets are not shown."""
    field = next(name for name in Settings.model_fields if name == refused or refused in _variables(name))
    info, variables = Settings.model_fields[field], _variables(field)
    name = next((v for v in variables if seen.get(v) not in (None, "")), variables[0])
    secret = "SecretStr" in str(info.annotation)
    return (
        f"{name} takes {info.description}"
        if secret or name not in seen
        else f"{name} is {str(seen[name])!r}, but takes {info.description}"
    )
