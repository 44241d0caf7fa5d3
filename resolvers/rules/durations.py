"""Durations as Go writes them: `5s`, `1m30s`, `1.5h`, `300ms`, `0`."""

import re

_PART = re.compile(r"([0-9]*)(?:\.([0-9]*))?(ns|us|µs|μs|ms|s|m|h)")
_UNITS = {"ns": 1, "us": 10**3, "µs": 10**3, "μs": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}
_LARGEST = 2**63 - 1


def parse_duration(text: str) -> int:
    """Nanoseconds, with a fraction of a nanosecond cut off; the grammar of Go's time.ParseDuration.

    ValueError for anything else, and beyond a signed 64-bit count (about 292 years).
    """
    sign, rest = (-1, text[1:]) if text.startswith("-") else (1, text.removeprefix("+"))
    if rest == "0":
        return 0
    total, position = 0, 0
    while part := _PART.match(rest, position):
        whole, fraction, unit = part[1], part[2] or "", _UNITS[part[3]]
        if not whole and not fraction:
            break
        # Digits after the 15th of a fraction are below a nanosecond even of an hour.
        fraction = fraction[:15]
        total += int(whole or "0") * unit + int(fraction or "0") * unit // 10 ** len(fraction)
        position = part.end()
    if not position or position != len(rest):
        raise ValueError("not a duration")
    if total > _LARGEST:
        raise ValueError("duration out of range")
    return sign * total


def format_duration(nanoseconds: int) -> str:
    """As Go prints a duration: `1h2m3.5s`, `300ms`, `0s`; `parse_duration` reads it back."""
    sign, left = ("-" if nanoseconds < 0 else ""), abs(nanoseconds)
    if not left:
        return "0s"
    if left < _UNITS["s"]:
        unit = "ns" if left < _UNITS["us"] else "µs" if left < _UNITS["ms"] else "ms"
        return f"{sign}{_decimal(left, _UNITS[unit])}{unit}"
    minutes, left = divmod(left, _UNITS["m"])
    hours, minutes = divmod(minutes, 60)
    return (
        f"{sign}{f'{hours}h' if hours else ''}{f'{minutes}m' if hours or minutes else ''}{_decimal(left, _UNITS['s'])}s"
    )


def _decimal(value: int, unit: int) -> str:
    whole, rest = divmod(value, unit)
    return f"{whole}.{str(unit + rest)[1:].rstrip('0')}" if rest else str(whole)
