"""Single- or dual-contrast training: how many echoes the records and the network have."""

from enum import StrEnum


class Contrasts(StrEnum):
    """What a set of training records holds of each scan.

    `SINGLE` is one echo, or the root of the sum of squares of two; `DUAL` is both echoes of a
    DESS scan.
    """

    SINGLE = "single"
    DUAL = "dual"

    @property
    def echoes(self) -> int:
        """The number of echoes: 1 or 2."""
        return 1 if self is Contrasts.SINGLE else 2
