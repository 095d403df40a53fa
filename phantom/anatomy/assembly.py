"""The structures of a random knee in the order in which they are painted."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from phantom.anatomy import (
    bones,
    joint_fluid,
    menisci,
    muscles,
    pathology,
    skin,
    soft_tissue,
    vessels,
)
from phantom.anatomy.bones import Bone, Shape
from phantom.anatomy.implicit_surfaces import (
    Array,
    Capsule,
    Points,
    Surface,
    Vector,
    by_height,
    complement,
    dilated,
    ellipsoid,
    intersection,
    smooth_step,
    union,
)
from phantom.anatomy.joint_fluid import JointFluid
from phantom.anatomy.pathology import Finding, FindingKind
from phantom.anatomy.structure import Structure
from phantom.anatomy.texture import Texture, random_texture
from phantom.anatomy.tissues import LABELS, TISSUES, Tissue

SKIN_MM = (1.0, 2.0)
SUBCUTANEOUS_FAT_MM = (2.5, 11.0)  # at the side; thicker medially and behind
FASCIA_MM = 0.35
VENOUS_LAYER_MM = 7.0  # of subcutaneous fat, above the fascia (a choice)
SHEATH_MM = 0.15  # of the synovium around the cruciate ligaments
LEAST_CARTILAGE_MM = 0.35
CORTEX_MM = by_height(
    [-80, -50, -25, -8, 0, 30, 45, 65, 90], [3.5, 2.6, 1.1, 0.7, 0.5, 0.6, 0.9, 2, 3]
)

# Of trabecular bone over that of an epiphysis. It falls with the distance from the growth plate
# (in the distal femur r = -0.82, Modlesky et al. 2015, PMC4485561); how far is our choice.
BONE_DENSITY = by_height(
    [-75, -55, -35, -14, 0, 27, 42, 60, 80], [0.1, 0.25, 0.5, 1, 1.1, 1, 0.6, 0.25, 0.1]
)
LEAST_RED_MARROW = (0.9, 2.2)  # of a field of unit spread: much of it in some knees, none in others
FEATHER_MM = 2.5  # over which red marrow gives way to yellow


@dataclass(frozen=True, eq=False)
class Anatomy:
    """The anatomy of a knee.

    Attributes:
        structures: in painting order.
        findings: the findings that changed it.
        joint_fluid_ml: volume of the fluid in the joint, in the reference knee.
    """

    structures: list[Structure]
    findings: list[Finding]
    joint_fluid_ml: float


def assemble(rng: np.random.Generator) -> Anatomy:
    """The anatomy of a random knee."""
    shape = Shape(rng)
    joint, z = bones.joint(shape), shape.patella_height
    groove_y = bones.groove_y(joint["femoral"], shape)
    findings = pathology.random_findings(rng, joint)
    joint = {name: pathology.apply_findings(bone, name, findings) for name, bone in joint.items()}
    red_marrow = random_texture(rng, (1.0, 1.0, 2.2), 3.0)
    fibrous = _menisci_and_ligaments(rng, joint, shape, findings)
    tendons = _fibrous("tendon", soft_tissue.tendons(rng, joint, groove_y - 9.5, z))
    solids = [item.surface for item in (*tendons, *fibrous)]
    filled, fluid = _joint_fluid(rng, joint, solids, (1, groove_y, z), findings)
    findings = [
        replace(f, size_mm=fluid.gap_mm / 2) if f.kind == FindingKind.EFFUSION else f
        for f in findings
    ]
    structures = [
        *_skin_and_fascia(rng),
        *_muscles_and_vessels(rng, joint),
        *_structures("hoffa_fat_pad", [ellipsoid((1, -21, 8), (25, 14, 17))]),
        *filled,
        *tendons,
        *fibrous,
        *_bones_and_cartilage(
            rng, joint, findings, _red_marrow_islands(red_marrow, rng.uniform(*LEAST_RED_MARROW))
        ),
    ]
    return Anatomy(structures, findings, fluid.volume_ml)


def _structures(tissue: str, surfaces: Iterable[Surface]) -> list[Structure]:
    return [Structure(LABELS[tissue], surface) for surface in surfaces]


def _fibrous(
    tissue: str, capsules: Iterable[Capsule], *, striated: bool = False
) -> list[Structure]:
    """Cords of fibres, whose T2 depends on their angle to B0, which is along z."""
    values = TISSUES[LABELS[tissue]]
    return [
        Structure(
            LABELS[tissue],
            capsule,
            coordinates=capsule.across() if striated else None,
            relative_t2=partial(_relative_t2, values, capsule),
        )
        for capsule in capsules
    ]


def _relative_t2(tissue: Tissue, cord: Capsule, p: Points) -> Array:
    return tissue.relative_t2(cord.cosine_to_z(p))


def _skin_and_fascia(rng: np.random.Generator) -> list[Structure]:
    fascia = skin.fascia()
    surface = skin.skin(rng, fascia, rng.uniform(*SUBCUTANEOUS_FAT_MM))
    below_skin = dilated(surface, -rng.uniform(*SKIN_MM))
    layer = intersection(below_skin, complement(fascia), dilated(fascia, VENOUS_LAYER_MM))
    trunks, widths = vessels.saphenous_veins(rng, fascia)
    places, radii = vessels.grow(rng, vessels.superficial_roots(rng, layer, trunks), layer)
    veins = vessels.drawn(np.concatenate([trunks, places]), np.concatenate([widths, radii]))
    return [
        *_structures("skin", [surface]),
        Structure(
            LABELS["subcutaneous_fat"],
            below_skin,
            coordinates=skin.fat_coordinates(below_skin, fascia),
        ),
        *_structures("vein", [intersection(veins, below_skin)]),
        *_structures("fascia", [fascia]),
        *_structures("intermuscular_fat", [dilated(fascia, -FASCIA_MM)]),
    ]


def _muscles_and_vessels(rng: np.random.Generator, joint: dict[str, Bone]) -> list[Structure]:
    compartment = dilated(skin.fascia(), -FASCIA_MM - 0.3)
    bones_and_capsule = [dilated(bone.outer, 2.0) for bone in joint.values()]
    around = intersection(compartment, complement(union(*bones_and_capsule)))
    places, radii = vessels.grow(rng, vessels.deep_roots(rng), around)
    beside = places + np.cross(rng.normal(size=3), [0, 0, 1]) * (2.2 * radii[:, None] + 0.3)
    trunks = vessels.trunks(rng)
    trunks["artery"].append(intersection(vessels.drawn(places, 0.8 * radii), compartment))
    trunks["vein"].append(intersection(vessels.drawn(beside, radii), compartment))
    return [
        *(
            Structure(LABELS["muscle"], muscle.surface, coordinates=muscle.across)
            for muscle in muscles.muscles(rng, compartment)
        ),
        *(item for tissue, paths in trunks.items() for item in _structures(tissue, paths)),
    ]


def _joint_fluid(
    rng: np.random.Generator,
    joint: dict[str, Bone],
    solids: list[Surface],
    patella: Vector,
    findings: list[Finding],
) -> tuple[list[Structure], JointFluid]:
    effusion = any(finding.kind == FindingKind.EFFUSION for finding in findings)
    fluid = joint_fluid.joint_fluid(
        rng,
        joint,
        solids,
        skin.fascia(),
        patella,
        joint_fluid.random_volume_ml(rng, effusion=effusion),
    )
    cysts = pathology.popliteal_cysts(findings)
    lining = [fluid.lining, *(dilated(cyst, 0.5) for cyst in cysts)]
    bodies = [*fluid.surfaces, *joint_fluid.bursae(joint, patella), *cysts]
    return [
        *_structures("capsule", [fluid.capsule]),
        *_structures("synovium", lining),
        *_structures("synovial_fluid", bodies),
    ], fluid


def _menisci_and_ligaments(
    rng: np.random.Generator, joint: dict[str, Bone], shape: Shape, findings: list[Finding]
) -> list[Structure]:
    femur, tibia = joint["femoral"], joint["tibial"]
    plateau = tibia.plateau or tibia.outer
    shapes = {name: menisci.random_meniscus(rng, side) for name, side in pathology.SIDES.items()}
    wedges = {name: menisci.wedge(sizes, femur, plateau) for name, sizes in shapes.items()}
    anterior = soft_tissue.anterior_cruciate(rng, shape.notch_width)
    posterior = soft_tissue.posterior_cruciate(rng, shape.notch_width)
    return [
        *_structures("capsule", [menisci.coronary_ligament(tibia, plateau)]),
        *_fibrous("ligament", menisci.meniscal_ligaments(rng, shapes, shape.notch_width)),
        *_structures("meniscus", [*wedges.values(), *menisci.roots(shapes)]),
        *_structures("synovial_fluid", pathology.meniscal_tears(findings, wedges)),
        *_structures("synovium", [dilated(cord, SHEATH_MM) for cord in (*anterior, *posterior)]),
        *_fibrous("cruciate_ligament", anterior, striated=True),
        *_fibrous("cruciate_ligament", posterior),
        *_fibrous("ligament", soft_tissue.collaterals(rng, joint)),
        *_fibrous("ligament", soft_tissue.retinacula(rng, joint, shape.patella_height)),
    ]


def _bones_and_cartilage(
    rng: np.random.Generator, joint: dict[str, Bone], findings: list[Finding], red_marrow: Surface
) -> list[Structure]:
    """The bones, each with its cartilage before it, and then the lesions within them."""
    structures, marrows = [], []
    for name, bone in {**joint, "fibular": bones.fibula()}.items():
        marrow = _marrow(bone)
        if name != "fibular":
            structures += _cartilage(bone, name)
        structures += _structures("cortical_bone", [bone.osseous])
        density = _epiphyseal if name == "patellar" else BONE_DENSITY
        structures.append(Structure(LABELS["marrow"], marrow, bone_density=density))
        if name != "patellar":
            structures.append(
                Structure(
                    LABELS["red_marrow"],
                    intersection(marrow, red_marrow),
                    partial(_feathered, red_marrow),
                    bone_density=density,
                )
            )
            structures += _structures("physeal_scar", [intersection(marrow, _physeal_scar(name))])
        marrows.append(marrow)
    for tissue, kind in (
        ("bone_marrow_lesion", FindingKind.BONE_MARROW_LESION),
        ("cyst", FindingKind.SUBCHONDRAL_CYST),
    ):
        structures += [
            Structure(LABELS[tissue], intersection(body, marrow), depth)
            for body, depth in pathology.bodies_in_bone(rng, findings, kind)
            for marrow in marrows
        ]
    return structures


def _marrow(bone: Bone) -> Surface:
    return lambda p: p.value(bone.osseous) + CORTEX_MM(p)


def _epiphyseal(p: Points) -> Array:
    return np.ones_like(p.x)


def _feathered(islands: Surface, p: Points) -> Array:
    """Depth within islands of red marrow: 0 at their edge, 1 from `FEATHER_MM` inside."""
    return smooth_step(-p.value(islands) / FEATHER_MM)


def _red_marrow_islands(texture: Texture, least: float) -> Surface:
    """Islands of red marrow away from the joint, where a texture exceeds its least value."""

    def surface(p: Points) -> Array:
        away = np.minimum(np.abs(p.z) - 34, 6) * 0.25
        return (least - texture.sample(p.axes) - away) * 2.5

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
