"""A knee's structures at random, in the order in which they are painted."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from phantom.anatomy import bones, muscles_and_vessels, pathology, soft_tissue
from phantom.anatomy.bones import Bone, Shape
from phantom.anatomy.implicit_surfaces import (
    Array,
    Points,
    Surface,
    by_height,
    crossing,
    ellipsoid,
    grown,
    intersection,
)
from phantom.anatomy.pathology import Finding
from phantom.anatomy.texture import Texture
from phantom.anatomy.tissues import LABELS

SKIN_MM = 1.3
FASCIA_MM = 0.35
FLUID_BELOW_FASCIA_MM = 1.0
FOLD_STEP_MM = 0.15  # the synovium folds in waves of up to 48 times that
MUSCLE_GAP_MM = 0.2  # of fat around each
LEAST_CARTILAGE_MM = 0.35


@dataclass(frozen=True, eq=False)
class Structure:
    """A body of one tissue; it is painted over those before it.

    `depth` is known of cartilage (0 at its surface, 1 at the bone) and of lesions.
    """

    label: int
    surface: Surface
    depth: Surface | None = None


def drawn(rng: np.random.Generator) -> tuple[list[Structure], list[Finding]]:
    """One knee: its structures and what is wrong with it."""
    shape = Shape.drawn(rng)
    femur, tibia = bones.femur(shape), bones.tibia(shape)
    z = shape.patella_height
    groove_y = crossing(femur.outer, (1, -60, z), (1, 10, z))[1]
    joint = {
        "tibial": tibia,
        "femoral": femur,
        "patellar": bones.patella(shape, groove_y - 0.5),
    }
    findings = pathology.drawn(rng, joint)
    joint = {name: pathology.affected(bone, name, findings) for name, bone in joint.items()}
    red_marrow = Texture(rng, (1.4, 1.4, 2.0), 3.2)
    return [
        *_wrapping(rng),
        *_flesh(rng),
        *_cords(groove_y - 14, z),
        *_fluid(rng, joint, z, findings),
        *_inner(joint, findings),
        *_skeleton(joint, findings, red_marrow),
    ], findings


def _painted(tissue: str, surfaces: Iterable[Surface]) -> list[Structure]:
    return [Structure(LABELS[tissue], surface) for surface in surfaces]


def _wrapping(rng: np.random.Generator) -> list[Structure]:
    fascia = muscles_and_vessels.fascia()
    skin = muscles_and_vessels.skin(fascia, float(rng.uniform(2, 8)))
    dermis = grown(skin, -SKIN_MM)
    return [
        *_painted("skin", [skin]),
        *_painted("subcutaneous_fat", [dermis]),
        *_painted(
            "vein", (intersection(v, dermis) for v in muscles_and_vessels.small_vessels(rng, 30))
        ),
        *_painted("fascia", [fascia]),
        *_painted("intermuscular_fat", [grown(fascia, -FASCIA_MM)]),
    ]


def _flesh(rng: np.random.Generator) -> list[Structure]:
    compartment = grown(muscles_and_vessels.fascia(), -FASCIA_MM - 0.3)
    structures = []
    for muscle in muscles_and_vessels.muscles():
        around = grown(muscle, MUSCLE_GAP_MM)
        structures += _painted("intermuscular_fat", [intersection(around, compartment)])
        structures += _painted("muscle", [intersection(muscle, compartment)])
    structures += _painted(
        "vein",
        (
            intersection(vessel, compartment)
            for vessel in muscles_and_vessels.small_vessels(rng, 40)
        ),
    )
    for tissue, surfaces in muscles_and_vessels.vessels().items():
        structures += _painted(tissue, surfaces)
    return structures


def _cords(patella_y: float, patella_z: float) -> list[Structure]:
    return [
        *_painted("hoffa_fat_pad", [ellipsoid((1, -21, 8), (25, 14, 17))]),
        *_painted("capsule", soft_tissue.capsule()),
        *_painted("tendon", soft_tissue.tendons(patella_y, patella_z)),
    ]


def _fluid(
    rng: np.random.Generator, joint: dict[str, Bone], patella_z: float, findings: list[Finding]
) -> list[Structure]:
    effusion = pathology.worst(findings, "effusion")
    fill_mm = effusion or float(rng.uniform(0.6, 1.2))
    film_mm = float(rng.uniform(0.3, 0.55)) + 0.15 * effusion
    folds = Texture(rng.spawn(1)[0], (FOLD_STEP_MM,) * 3, 6.0).at
    within = grown(muscles_and_vessels.fascia(), -FLUID_BELOW_FASCIA_MM)
    wet = [
        *(soft_tissue.film(bone, film_mm, folds) for bone in joint.values()),
        *(
            intersection(pocket, within)
            for pocket in soft_tissue.recesses(
                joint["femoral"], joint["tibial"], fill_mm, patella_z, folds
            )
        ),
        *(surface for surface, _ in pathology.lesions(findings, "popliteal_cyst")),
    ]
    return [
        *_painted("synovium", (grown(surface, 0.4) for surface in wet)),
        *_painted("synovial_fluid", wet),
    ]


def _inner(joint: dict[str, Bone], findings: list[Finding]) -> list[Structure]:
    femur, tibia = joint["femoral"], joint["tibial"]
    menisci = {
        name: soft_tissue.meniscus(side, femur, tibia.plateau or tibia.outer)
        for name, side in pathology.SIDES.items()
    }
    return [
        *_painted("meniscus", menisci.values()),
        *_painted("synovial_fluid", pathology.tears(findings, menisci)),
        *_painted("cruciate_ligament", soft_tissue.cruciates()),
        *_painted("ligament", soft_tissue.collaterals()),
    ]


_CORTEX_MM = by_height(
    [-80, -50, -25, -8, 0, 30, 45, 65, 90], [3.5, 2.6, 1.1, 0.7, 0.5, 0.6, 0.9, 2, 3]
)


def _skeleton(
    joint: dict[str, Bone], findings: list[Finding], red_marrow: Texture
) -> list[Structure]:
    """Bones, each with its cartilage before it, and what lies within them."""
    structures, interiors = [], []
    for name, bone in {**joint, "fibular": bones.fibula()}.items():
        marrow = _marrow(bone)
        if name != "fibular":
            structures += _cartilage(bone, name)
        structures += _painted("cortical_bone", [bone.osseous])
        structures += _painted("marrow", [marrow])
        if name != "patellar":
            structures += _painted("red_marrow", [intersection(marrow, _patches(red_marrow))])
            structures += _painted("physeal_scar", [intersection(marrow, _scar(name))])
        interiors.append(marrow)
    for tissue, kind in (("bone_marrow_lesion",) * 2, ("cyst", "subchondral_cyst")):
        structures += [
            Structure(LABELS[tissue], intersection(body, marrow), depth)
            for body, depth in pathology.lesions(findings, kind)
            for marrow in interiors
        ]
    return structures


def _marrow(bone: Bone) -> Surface:
    return lambda p: p.of(bone.osseous) + _CORTEX_MM(p)


def _patches(texture: Texture) -> Surface:
    """Islands of red marrow, away from the joint."""

    def surface(p: Points) -> Array:
        away = np.minimum(np.abs(p.z) - 34, 6) * 0.25
        return (0.9 - texture.at(p) - away) * 1.5

    return surface


def _scar(name: str) -> Surface:
    """Where the growth plate was: a thin wavy plate of bone."""
    height = 27.0 if name == "femoral" else -15.0

    def surface(p: Points) -> Array:
        wave = 1.6 * np.sin(0.16 * p.x + 1) * np.sin(0.19 * p.y) + 0.004 * p.x * p.x
        return np.abs(p.z - height + wave) - 0.3

    return surface


def _cartilage(bone: Bone, name: str) -> list[Structure]:
    def whole(p: Points) -> Array:
        return np.maximum(p.of(bone.outer), LEAST_CARTILAGE_MM - p.of(bone.thickness))

    def deep(p: Points) -> Array:
        return (0.5 - p.of(bone.depth)) * p.of(bone.thickness)

    def lateral(p: Points) -> Array:
        return -p.x

    sides = [("", [])] if name == "patellar" else [("medial_", []), ("lateral_", [lateral])]
    return [
        Structure(
            LABELS[f"{side}{name}_cartilage_{layer}"],
            intersection(whole, *half, *within),
            bone.depth,
        )
        for side, half in sides
        for layer, within in (("superficial", []), ("deep", [deep]))
    ]
