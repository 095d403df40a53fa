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
        coordinates: in which its texture is sampled, mm: two across the fibres of a muscle or
            ligament, three in subcutaneous fat (`skin.fat_coordinates`); by default x, y and z.
        bone_density: of trabeculae in marrow, over that of an epiphysis.
        relative_t2: T2 over that of the tissue, by the angle between its fibres and B0.
    """

    label: int
    surface: Surface
    depth: Surface | None = None
    coordinates: tuple[Surface, ...] | None = None
    bone_density: Surface | None = None
    relative_t2: Surface | None = None
