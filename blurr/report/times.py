"""Write dates and durations in words."""

from datetime import UTC, datetime

MINUTE, HOUR, DAY = 60, 3600, 86400


def date(seconds: float) -> str:
    """Return a time in seconds since 1970, such as `28 November 2026, 14:03 UTC`."""
    at = datetime.fromtimestamp(seconds, UTC)
    return f"{at.day} {at:%B %Y, %H:%M} UTC"


def duration(seconds: float) -> str:
    """Return a duration by its two largest units, such as `3 min 12 s`; below ten seconds with a decimal."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    for name, size, part, divisor in (("d", DAY, "h", HOUR), ("h", HOUR, "min", MINUTE), ("min", MINUTE, "s", 1)):
        if whole >= size:
            rest = whole % size // divisor
            return f"{whole // size} {name}" + (f" {rest} {part}" if rest else "")
    return f"{whole} s"
