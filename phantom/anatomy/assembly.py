"""The structures of a random knee in the order in which they are painted."""

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
    dilated,
    ellipsoid,
    first_hit,
    intersection,
)
from phantom.anatomy.pathology import Finding, FindingKind
from phantom.anatomy.texture import Texture
from phantom.anatomy.tissues import LABELS

SKIN_MM = 1.3
FASCIA_MM = 0.35
FLUID_BELOW_FASCIA_MM = 1.0
FOLD_STEP_MM = 0.15  # the synovium folds in waves of up to 48 times this length
MUSCLE_GAP_MM = 0.2  # fat around each muscle
LEAST_CARTILAGE_MM = 0.35
CORTEX_MM = by_height(
    [-80, -50, -25, -8, 0, 30, 45, 65, 90], [3.5, 2.6, 1.1, 0.7, 0.5, 0.6, 0.9, 2, 3]
)


@dataclass(frozen=True, eq=False)
class Structure:
    """A body of one tissue, which is painted over the structures before it.

    Attributes:
        label: of its tissue.
        surface: negative inside.
        depth: relative depth in cartilage (0 at its surface, 1 at the bone) and in lesions.
    """

    label: int
    surface: Surface
    depth: Surface | None = None


def assemble(rng: np.random.Generator) -> tuple[list[Structure], list[Finding]]:
    """The structures and the findings of a random knee."""
    shape = Shape(rng)
    femur, tibia = bones.femur(shape), bones.tibia(shape)
    z = shape.patella_height
    groove_y = first_hit(femur.outer, (1, -60, z), (1, 10, z))[1]
    joint = {
        "tibial": tibia,
        "femoral": femur,
        "patellar": bones.patella(shape, groove_y - 0.5),
    }
    findings = pathology.random_findings(rng, joint)
    joint = {name: pathology.apply_findings(bone, name, findings) for name, bone in joint.items()}
    red_marrow = Texture(rng, (1.4, 1.4, 2.0), 3.2)
    return [
        *_skin_and_fascia(rng),
        *_muscles_and_vessels(rng),
        *_structures("hoffa_fat_pad", [ellipsoid((1, -21, 8), (25, 14, 17))]),
        *_structures("capsule", soft_tissue.capsule()),
        *_structures("tendon", soft_tissue.tendons(groove_y - 14, z)),
        *_joint_fluid(rng, joint, z, findings),
        *_menisci_and_ligaments(joint, findings),
        *_bones_and_cartilage(joint, findings, red_marrow),
    ], findings


def _structures(tissue: str, surfaces: Iterable[Surface]) -> list[Structure]:
    return [Structure(LABELS[tissue], surface) for surface in surfaces]


def _veins(rng: np.random.Generator, count: int, region: Surface) -> list[Structure]:
    vessels = muscles_and_vessels.small_vessels(rng, count)
    return _structures("vein", (intersection(vessel, region) for vessel in vessels))


def _skin_and_fascia(rng: np.random.Generator) -> list[Structure]:
    fascia = muscles_and_vessels.fascia()
    skin = muscles_and_vessels.skin(fascia, rng.uniform(2, 8))
    below_skin = dilated(skin, -SKIN_MM)
    return [
        *_structures("skin", [skin]),
        *_structures("subcutaneous_fat", [below_skin]),
        *_veins(rng, 30, below_skin),
        *_structures("fascia", [fascia]),
        *_structures("intermuscular_fat", [dilated(fascia, -FASCIA_MM)]),
    ]


def _muscles_and_vessels(rng: np.random.Generator) -> list[Structure]:
    compartment = dilated(muscles_and_vessels.fascia(), -FASCIA_MM - 0.3)
    structures = []
    for muscle in muscles_and_vessels.muscles():
        gap = dilated(muscle, MUSCLE_GAP_MM)
        structures += _structures("intermuscular_fat", [intersection(gap, compartment)])
        structures += _structures("muscle", [intersection(muscle, compartment)])
    structures += _veins(rng, 40, compartment)
    for tissue, surfaces in muscles_and_vessels.vessels().items():
        structures += _structures(tissue, surfaces)
    return structures


def _joint_fluid(
    rng: np.random.Generator, joint: dict[str, Bone], patella_z: float, findings: list[Finding]
) -> list[Structure]:
    effusion = sum(f.size_mm for f in findings if f.kind == FindingKind.EFFUSION)
    fill_mm = effusion or rng.uniform(0.6, 1.2)
    film_mm = rng.uniform(0.3, 0.55) + 0.15 * effusion
    folds = Texture(rng.spawn(1)[0], (FOLD_STEP_MM,) * 3, 6.0).sample
    below_fascia = dilated(muscles_and_vessels.fascia(), -FLUID_BELOW_FASCIA_MM)
    recesses = soft_tissue.recesses(joint["femoral"], joint["tibial"], fill_mm, patella_z, folds)
    cysts = pathology.lobular_bodies(findings, FindingKind.POPLITEAL_CYST)
    fluid = [
        *(soft_tissue.film(bone, film_mm, folds) for bone in joint.values()),
        *(intersection(recess, below_fascia) for recess in recesses),
        *(surface for surface, _ in cysts),
    ]
    return [
        *_structures("synovium", (dilated(surface, 0.4) for surface in fluid)),
        *_structures("synovial_fluid", fluid),
    ]


def _menisci_and_ligaments(joint: dict[str, Bone], findings: list[Finding]) -> list[Structure]:
    femur, tibia = joint["femoral"], joint["tibial"]
    menisci = {
        name: soft_tissue.meniscus(side, femur, tibia.plateau or tibia.outer)
        for name, side in pathology.SIDES.items()
    }
    return [
        *_structures("meniscus", menisci.values()),
        *_structures("synovial_fluid", pathology.meniscal_tears(findings, menisci)),
        *_structures("cruciate_ligament", soft_tissue.cruciates()),
        *_structures("ligament", soft_tissue.collaterals()),
    ]


def _bones_and_cartilage(
    joint: dict[str, Bone], findings: list[Finding], red_marrow: Texture
) -> list[Structure]:
    """The bones, each with its cartilage before it, and then the lesions within them."""
    structures, marrows = [], []
    for name, bone in {**joint, "fibular": bones.fibula()}.items():
        marrow = _marrow(bone)
        if name != "fibular":
            structures += _cartilage(bone, name)
        structures += _structures("cortical_bone", [bone.osseous])
        structures += _structures("marrow", [marrow])
        if name != "patellar":
            islands = intersection(marrow, _red_marrow_islands(red_marrow))
            structures += _structures("red_marrow", [islands])
            structures += _structures("physeal_scar", [intersection(marrow, _physeal_scar(name))])
        marrows.append(marrow)
    for tissue, kind in (
        ("bone_marrow_lesion", FindingKind.BONE_MARROW_LESION),
        ("cyst", FindingKind.SUBCHONDRAL_CYST),
    ):
        structures += [
            Structure(LABELS[tissue], intersection(body, marrow), depth)
            for body, depth in pathology.lobular_bodies(findings, kind)
            for marrow in marrows
        ]
    return structures


def _marrow(bone: Bone) -> Surface:
    return lambda p: p.value(bone.osseous) + CORTEX_MM(p)


def _red_marrow_islands(texture: Texture) -> Surface:
    """Islands of red marrow away from the joint."""

    def surface(p: Points) -> Array:
        away = np.minimum(np.abs(p.z) - 34, 6) * 0.25
        return (0.9 - texture.sample(p) - away) * 1.5

    return surface


def _physeal_scar(name: str) -> Surface:
    """A thin wavy plate of bone where the growth plate was."""
    height = 27.0 if name == "femoral" else -15.0

    def surface(p: Points) -> Array:
        wave = 1.6 * np.sin(0.16 * p.x + 1) * np.sin(0.19 * p.y) + 0.004 * p.x * p.x
        return np.abs(p.z - height + wave) - 0.3

    return surface


def _cartilage(bone: Bone, name: str) -> list[Structure]:
    def both_layers(p: Points) -> Array:
        return np.maximum(p.value(bone.outer), LEAST_CARTILAGE_MM - p.value(bone.thickness))

    def deep_half(p: Points) -> Array:
        return (0.5 - p.value(bone.depth)) * p.value(bone.thickness)

    def lateral_half(p: Points) -> Array:
        return -p.x

    sides = [("", [])] if name == "patellar" else [("medial_", []), ("lateral_", [lateral_half])]
    return [
        Structure(
            LABELS[f"{side}{name}_cartilage_{layer}"],
            intersection(both_layers, *side_limits, *layer_limits),
            bone.depth,
        )
        for side, side_limits in sides
        for layer, layer_limits in (("superficial", []), ("deep", [deep_half]))
    ]
