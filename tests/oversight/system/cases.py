"""Cases of the server about itself, for the tests that are made for every operation."""

ANONYMOUS = frozenset(
    {
        "ops.healthz",
        "ops.metrics",  # a token of its own, or loopback
        "ops.readyz",
        "system.health",
        "system.setup_status",
        "system.telemetry",
    }
)
