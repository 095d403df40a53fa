"""Numbers of headers, which may be missing or damaged."""

import math


def positive(value: object) -> float | None:
    """A number of the header; None if it is missing, unreadable or not above 0."""
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
    return number if 0 < number < math.inf else None
