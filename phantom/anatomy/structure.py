"""A body of one tissue."""

from dataclasses import dataclass

from phantom.anatomy.implicit_surfaces import Surface


@dataclass(frozen=True, eq=False)
class Structure:
    """A body of one tissue, which is painted over the structures before it.

    Attributes:
        label: of its tissue.
        surface: negative inside.
        depth: relative depth in cartilage (0 at its surface, 1 at the bone) and in lesions.
        across: two coordinates across the fibres of a muscle or ligament, mm.
        relative_t2: T2 over that of the tissue, by the angle between its fibres and B0.
    """

    label: int
    surface: Surface
    depth: Surface | None = None
    across: tuple[Surface, Surface] | None = None
    relative_t2: Surface | None = None
