"""A whole knee: every structure in the order in which it is painted, and what it is made of."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from phantom import bones, soft_tissue
from phantom.bones import Bone, Shape
from phantom.surfaces import (
    Array,
    Points,
    Surface,
    curve,
    ellipsoid,
    grown,
    intersection,
    union,
)
from phantom.texture import Texture
from phantom.tissues import FIRST_CARTILAGE, LABELS, TISSUES, cartilage_values, table

Labels = NDArray[np.int16]
SKIN_MM = 1.6
FASCIA_MM = 0.5
LEAST_CARTILAGE_MM = 0.35


@dataclass(frozen=True, eq=False)
class Structure:
    """A body of one tissue; it is painted over those before it.

    `depth` is known of cartilage only: 0 at its surface, 1 at the bone.
    """

    label: int
    surface: Surface
    depth: Surface | None = None


@dataclass(frozen=True, eq=False)
class Material:
    """What is at each point: its label, T1 and T2 (ms), proton density; and where a surface of
    some structure is nearer than the margin asked for."""  # noqa: D205, D209

    label: Labels
    t1_ms: Array
    t2_ms: Array
    m0: Array
    near: NDArray[np.bool_]


class Knee:
    """One subject's knee at random; the same generator state gives the same knee.

    Attributes:
        size: of this knee, relative to the reference.
        structures: in painting order.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        self.size = float(np.clip(rng.normal(1.0, 0.06), 0.87, 1.13))
        self._waves = _waves(rng)
        self.structures = tuple(_structures(rng))
        self._fibres = Texture(rng, (0.55, 0.55, 2.6), 1.6)
        self._trabeculae = Texture(rng, (0.45, 0.45, 0.6), 1.2)
        self._lobules = Texture(rng, (0.8, 0.8, 0.8), 3.0)
        self._smooth = Texture(rng, (1.2, 1.2, 1.2), 3.5)

    def points(self, x: Array, y: Array, z: Array) -> Points:
        """Positions in this knee (mm, knee axes) as positions in the reference knee."""
        x, y, z = x / self.size, y / self.size, z / self.size
        dx, dy, dz = np.zeros_like(x), np.zeros_like(x), np.zeros_like(x)
        for (kx, ky, kz), phase, (ax, ay, az) in self._waves:
            wave = np.sin(kx * x + ky * y + kz * z + phase)
            dx += ax * wave
            dy += ay * wave
            dz += az * wave
        return Points(x + dx, y + dy, z + dz)

    def material(self, points: Points, structures: Sequence[Structure], margin: float) -> Material:
        """What is at `points`, of the given structures only."""
        label, depth, near = _painted(points, structures, margin)
        t1, t2, m0 = (table(name)[label] for name in ("t1_ms", "t2_ms", "m0"))
        cartilage = np.flatnonzero(label >= FIRST_CARTILAGE)
        if cartilage.size:
            t1[cartilage], t2[cartilage], m0[cartilage] = cartilage_values(depth[cartilage])
        self._vary(points, label, t2, m0)
        return Material(label, np.round(t1), np.round(t2 * 64) / 64, np.round(m0 * 4096) / 4096,
                        near)  # fmt: skip

    def _vary(self, points: Points, label: Labels, t2: Array, m0: Array) -> None:
        spread, kind = table("spread")[label], _KIND[label]
        textures = (self._smooth, self._fibres, self._trabeculae, self._lobules)
        for index, texture in enumerate(textures):
            which = np.flatnonzero((kind == index) & (spread > 0))
            if which.size:
                variation = texture.at(points, which)
                m0[which] *= 1 + spread[which] * variation
                t2[which] *= 1 + 0.04 * variation


_KIND = np.zeros(len(TISSUES), np.int8)
_KIND[LABELS["muscle"]] = 1
_KIND[LABELS["marrow"]] = 2
_KIND[[LABELS[f"{n}_fat"] for n in ("subcutaneous", "intermuscular")]] = 3
_KIND[LABELS["hoffa_fat_pad"]] = 3


def _painted(
    points: Points, structures: Sequence[Structure], margin: float
) -> tuple[Labels, Array, NDArray[np.bool_]]:
    label = np.full(points.x.shape, LABELS["air"], np.int16)
    depth = np.zeros_like(points.x)
    near = np.zeros(points.x.shape, bool)
    for structure in structures:
        value = points.of(structure.surface)
        inside = value < 0
        label[inside] = structure.label
        if structure.depth is not None:
            np.copyto(depth, points.of(structure.depth), where=inside)
        near &= value > -margin  # what lies deep inside a later structure is hidden
        near |= np.abs(value) < margin
    return label, depth, near


def _waves(rng: np.random.Generator) -> list[tuple]:
    """A smooth displacement of everything, some 1.5 mm: no two knees alike."""
    waves = []
    for length, amplitude in ((90, 1.0), (60, 0.8), (60, 0.8), (40, 0.4), (30, 0.3), (12, 0.1)):
        direction = rng.normal(size=3)
        k = direction / np.linalg.norm(direction) * 2 * np.pi / (length * rng.uniform(0.8, 1.25))
        shift = rng.normal(size=3) * amplitude
        waves.append((k.tolist(), float(rng.uniform(0, 2 * np.pi)), shift.tolist()))
    return waves


def _structures(rng: np.random.Generator) -> list[Structure]:
    shape = Shape.drawn(rng)
    femur, tibia, fibula = bones.femur(shape), bones.tibia(shape), bones.fibula()
    groove_y = _groove(femur, shape.patella_height)
    patella = bones.patella(shape, groove_y - 0.5)
    joint = (femur, tibia, patella)
    return [
        *_sheath(rng),
        *_flesh(),
        *_cords(groove_y - 14, shape.patella_height),
        *_fluid(rng, joint, shape),
        *_inner(femur, tibia),
        *_bone(tibia, "tibial"),
        *_bone(fibula),
        *_bone(femur, "femoral"),
        *_bone(patella, "patellar"),
    ]


def _groove(femur: Bone, z: float) -> float:
    """Where the trochlea's groove is, at the height of the patella."""
    y = np.linspace(-40, 5, 901, dtype=np.float32)
    points = Points(np.ones_like(y), y, np.full_like(y, z))
    return float(y[np.argmax(points.of(femur.outer) < 0)])


def _sheath(rng: np.random.Generator) -> list[Structure]:
    fat_mm = float(rng.uniform(0, 8))
    skin = soft_tissue.envelope(fat_mm)
    return [
        Structure(LABELS["skin"], skin),
        Structure(LABELS["subcutaneous_fat"], grown(skin, -SKIN_MM)),
        Structure(LABELS["septum"], grown(skin, -fat_mm - 4)),
        Structure(LABELS["intermuscular_fat"], grown(skin, -fat_mm - 4 - FASCIA_MM)),
    ]


def _flesh() -> list[Structure]:
    painted = []
    for muscle in soft_tissue.muscles():
        painted.append(Structure(LABELS["intermuscular_fat"], grown(muscle, 0.5)))
        painted.append(Structure(LABELS["muscle"], grown(muscle, -0.2)))
    return painted


def _cords(patella_y: float, patella_z: float) -> list[Structure]:
    vessels = soft_tissue.vessels()
    kinds = {"artery": "artery", "nerve": "nerve", "peroneal": "nerve"}
    hoffa = ellipsoid((1, -22, 8), (24, 14, 16))
    return [
        Structure(LABELS["hoffa_fat_pad"], hoffa),
        *(Structure(LABELS[kinds.get(name, "vein")], vessels[name]) for name in vessels),
        *(
            Structure(LABELS["tendon"], surface)
            for surface in soft_tissue.tendons(patella_y, patella_z).values()
        ),
    ]


def _fluid(
    rng: np.random.Generator, joint: tuple[Bone, Bone, Bone], shape: Shape
) -> list[Structure]:
    film_mm = float(rng.uniform(0.3, 0.7))
    pouch = soft_tissue.pouch(float(rng.uniform(0.8, 2.5)), shape.patella_height)
    fluid = union(*(soft_tissue.film(bone, film_mm) for bone in joint), pouch)
    return [
        Structure(LABELS["synovium"], grown(fluid, 0.4)),
        Structure(LABELS["synovial_fluid"], fluid),
    ]


def _inner(femur: Bone, tibia: Bone) -> list[Structure]:
    ligaments = soft_tissue.ligaments()
    return [
        *(
            Structure(
                LABELS["meniscus"], soft_tissue.meniscus(side, femur, tibia.plateau or tibia.outer)
            )
            for side in (bones.MEDIAL, bones.LATERAL)
        ),
        Structure(LABELS["cruciate_ligament"], ligaments["acl"]),
        Structure(LABELS["cruciate_ligament"], ligaments["pcl"]),
        Structure(LABELS["ligament"], ligaments["mcl"]),
        Structure(LABELS["ligament"], ligaments["lcl"]),
    ]


_CORTEX_MM = curve(
    [-80, -50, -25, -8, 0, 30, 45, 65, 90], [3.5, 2.6, 1.1, 0.7, 0.6, 0.6, 0.9, 2, 3]
)


def _bone(bone: Bone, name: str | None = None) -> list[Structure]:
    def marrow(p: Points) -> Array:
        return bone.osseous(p) + _CORTEX_MM(p.z)

    shell = [
        Structure(LABELS["cortical_bone"], bone.osseous),
        Structure(LABELS["marrow"], marrow),
    ]
    return [*_cartilage(bone, name), *shell] if name else shell


def _cartilage(bone: Bone, name: str) -> list[Structure]:
    def whole(p: Points) -> Array:
        return np.maximum(p.of(bone.outer), LEAST_CARTILAGE_MM - p.of(bone.thickness))

    def deep(p: Points) -> Array:
        return (0.5 - p.of(bone.depth)) * p.of(bone.thickness)

    def lateral(p: Points) -> Array:
        return -p.x

    layers = (("superficial", whole), ("deep", intersection(whole, deep)))
    if name == "patellar":
        return [
            Structure(LABELS[f"patellar_cartilage_{layer}"], surface, bone.depth)
            for layer, surface in layers
        ]
    sides = (("medial", None), ("lateral", lateral))
    return [
        Structure(
            LABELS[f"{side}_{name}_cartilage_{layer}"],
            intersection(surface, half) if half else surface,
            bone.depth,
        )
        for side, half in sides
        for layer, surface in layers
    ]
