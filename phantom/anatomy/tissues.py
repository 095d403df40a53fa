"""The tissues of the knee: labels, and T1, T2 and proton density at 3 T.

Measured at 3 T are T1 and T2 of muscle, synovial fluid and cartilage as a whole, T1 of marrow and
subcutaneous fat (Gold et al. 2004, doi 10.2214/ajr.183.2.1830343; Jordan et al. 2013, doi
10.1016/j.ejrad.2011.09.021), and T2 of the meniscus (its slow component; Juras et al. 2014, doi
10.1002/mrm.24760). Fat is what remains of it after water excitation, the protons that resonate
beside water: 8.6 % (Hamilton et al. 2011, doi 10.1002/nbm.1622) with a T2 of 36 ms, 40 in marrow
(Fallone and Yahya, AAPM 2019). The values of the layers of cartilage, of ligaments, tendons and
cortical bone are typical ones.

T2' of ligaments and tendons makes T2* that of UTE images (11.9 ms in the anterior and 8.3 ms in the
posterior cruciate ligament, 5.2 ms in the patellar tendon at 1.5 T; doi
10.1177/02841851211043834), and their proton density is that of the slow part of their water alone,
a fifth to a half: the rest has decayed before an echo. T2* of patellar tendon rises sixteenfold
from 0 to 55 degrees to B0 in microscopy at 7 T; that of the slow part rises less, by our choice.
T2' of marrow is that of trabecular bone at 3 T, 8 to 15 ms in an epiphysis. T1 of blood at 3 T is
1841 ms in arteries (PMC5250597) and 1852 ms in veins (PubMed 21500258), T2 of venous blood 62.4 ms
(Qin et al. 2011, doi 10.1002/mrm.22556), that of the sciatic nerve 44.5 ms (Sollmann et al. 2020,
MAGMA 33); fast flow darkens arteries, by a low proton density. The values of skin, fascia (as
tendon), capsule, synovium, red marrow, scar, lesion and cyst, T2 of arteries and T1 of nerves are
our choice, and so are all other proton densities (relative to water) and all spreads.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from phantom.anatomy.implicit_surfaces import Array


@dataclass(frozen=True)
class Tissue:
    """A tissue.

    Attributes:
        name: as in the labels.
        t1_ms, t2_ms: relaxation times.
        m0: proton density relative to water.
        spread: relative standard deviation of m0 within the tissue.
        t2_prime_ms: dephasing by susceptibility, see `phantom.scanner.partial_volume`.
        relative_r2_at_magic_angle: R2 of fibres at 55 degrees to B0 over that of fibres along it;
            1 where fibres have no direction.
        fat: whether it has the chemical shift of fat.
        liquid: whether its water diffuses freely.
    """

    name: str
    t1_ms: float
    t2_ms: float
    m0: float
    spread: float = 0.0
    fat: bool = False
    liquid: bool = False
    t2_prime_ms: float = math.inf
    relative_r2_at_magic_angle: float = 1.0

    def relative_t2(self, cosine: Array) -> Array:
        """T2 over that of fibres along B0, by the cosine of their angle to it.

        The dipolar part of R2 follows (3 cos^2 - 1)^2 / 4, which vanishes at 54.7 degrees.
        """
        least = self.relative_r2_at_magic_angle
        return 1 / (least + (1 - least) * (3 * cosine**2 - 1) ** 2 / 4)


COMPARTMENTS = ("medial_femoral", "lateral_femoral", "medial_tibial", "lateral_tibial", "patellar")
LAYERS = ("deep", "superficial")

# T1 (ms), T2 (ms) and m0 in the middle of each layer; they change linearly with depth.
DEEP = (1200.0, 27.0, 0.72)
SUPERFICIAL = (1250.0, 46.0, 0.82)

TISSUES = (
    Tissue("air", 1000, 10, 0.0),
    Tissue("skin", 900, 25, 0.37, 0.1),
    Tissue("subcutaneous_fat", 371, 36, 0.086, fat=True),
    Tissue("intermuscular_fat", 371, 36, 0.086, fat=True),
    Tissue("hoffa_fat_pad", 371, 36, 0.086, fat=True),
    Tissue("fascia", 700, 6, 0.3, 0.1, t2_prime_ms=39),
    Tissue("muscle", 1420, 32, 0.80),
    Tissue("tendon", 700, 6, 0.3, 0.15, t2_prime_ms=39, relative_r2_at_magic_angle=0.3),
    Tissue("ligament", 1000, 20, 0.22, 0.2, t2_prime_ms=14, relative_r2_at_magic_angle=0.6),
    Tissue(
        "cruciate_ligament", 1000, 20, 0.22, 0.1, t2_prime_ms=14, relative_r2_at_magic_angle=0.6
    ),
    Tissue("meniscus", 1000, 15, 0.5, 0.1, t2_prime_ms=30),
    Tissue("capsule", 1000, 20, 0.3, 0.2, t2_prime_ms=14),
    Tissue("synovium", 1500, 70, 0.85, 0.1),
    Tissue("synovial_fluid", 3620, 767, 1.0, 0.02, liquid=True),
    Tissue("artery", 1841, 120, 0.30, 0.2),
    Tissue("vein", 1852, 62, 0.85, 0.1),
    Tissue("nerve", 1200, 44.5, 0.6, 0.25),
    Tissue("cortical_bone", 250, 0.5, 0.2),
    Tissue("marrow", 365, 40, 0.086, fat=True, t2_prime_ms=10),
    Tissue("red_marrow", 550, 70, 0.16, t2_prime_ms=14),
    Tissue("physeal_scar", 365, 40, 0.06, 0.1, fat=True, t2_prime_ms=5),
    Tissue("bone_marrow_lesion", 1000, 60, 0.4, t2_prime_ms=20),
    Tissue("cyst", 3000, 500, 0.95, 0.02, liquid=True),
    *(
        Tissue(f"{compartment}_cartilage_{layer}", *values, 0.03)
        for compartment in COMPARTMENTS
        for layer, values in zip(LAYERS, (DEEP, SUPERFICIAL), strict=True)
    ),
)

LABELS = {tissue.name: index for index, tissue in enumerate(TISSUES)}
FIRST_CARTILAGE = LABELS["medial_femoral_cartilage_deep"]


def values_by_label(attribute: str) -> NDArray[np.float32]:
    """An attribute of all tissues, indexed by label."""
    return np.array([getattr(tissue, attribute) for tissue in TISSUES], np.float32)


def cartilage_values(
    depth: NDArray[np.float32],
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """T1 (ms), T2 (ms) and m0 of cartilage at a relative depth from 0 (surface) to 1 (bone).

    They lie on a straight line through the middles of the layers, at depths of 1/4 and 3/4.
    """
    weight = 2 * depth - 0.5
    t1, t2, m0 = (s + (d - s) * weight for d, s in zip(DEEP, SUPERFICIAL, strict=True))
    return t1, t2, m0
