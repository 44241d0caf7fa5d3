"""The resource usage of a container, from the engine's statistics."""

from collections.abc import Mapping
from typing import Any

from runtime.containers.place import CREW
from runtime.sandbox.boundary import MIB

Cpu = tuple[int, int]
"""The processor time of the container, and the available time."""


def cpu_of(stats: Mapping[str, Any], key: str = "cpu_stats") -> Cpu:
    told = stats.get(key) or {}
    return int((told.get("cpu_usage") or {}).get("total_usage") or 0), int(told.get("system_cpu_usage") or 0)


def measured(container: Mapping[str, Any], stats: Mapping[str, Any], before: Cpu | None) -> dict[str, Any]:
    """`before`: when it was last asked for; else an engine may know of a moment before by itself."""
    occupied, limit = _occupied(stats), int((stats.get("memory_stats") or {}).get("limit") or 0)
    networks = (stats.get("networks") or {}).values()
    return {
        "container_id": str(container["Id"]),
        "crew_id": container["Labels"][CREW],
        "cpu_percent": cpu_percent_of(stats, before) or 0.0,
        "memory_used": occupied,
        "memory_limit": limit,
        "memory_percent": round(100 * occupied / limit, 2) if limit else 0.0,
        "net_rx_bytes": sum(int(each.get("rx_bytes") or 0) for each in networks),
        "net_tx_bytes": sum(int(each.get("tx_bytes") or 0) for each in networks),
        "pids": int((stats.get("pids_stats") or {}).get("current") or 0),
    }


def cpu_percent_of(stats: Mapping[str, Any], before: Cpu | None) -> float | None:
    """The share of one processor, in percent. None if there is no earlier moment to compare with."""
    used, passed = (now - then for now, then in zip(cpu_of(stats), _first(stats, before), strict=True))
    processors = int((stats.get("cpu_stats") or {}).get("online_cpus") or 1)
    return round(100 * processors * max(used, 0) / passed, 2) if passed > 0 else None


def memory_of(stats: Mapping[str, Any]) -> int | None:
    """Megabytes; None if the engine has not measured it."""
    return _occupied(stats) // MIB if (stats.get("memory_stats") or {}).get("usage") else None


def _occupied(stats: Mapping[str, Any]) -> int:
    """Bytes, without the files in memory that the kernel can drop: engines do not count these."""
    memory = stats.get("memory_stats") or {}
    cached = (memory.get("stats") or {}).get("inactive_file") or 0
    return max(int(memory.get("usage") or 0) - int(cached), 0)


def _first(stats: Mapping[str, Any], before: Cpu | None) -> Cpu:
    """Without a moment before, nothing is known of now."""
    told = cpu_of(stats, "precpu_stats")
    return before or (told if told[1] else cpu_of(stats))
