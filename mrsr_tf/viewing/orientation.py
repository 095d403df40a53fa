"""Arrays of a scan turned upright, as radiologists expect them.

The axes of an upright array run to inferior, posterior and left, so its planes are

    sagittal   anterior left, superior up
    coronal    patient's right left, superior up
    axial      patient's right left, anterior up

Nothing is resampled: an oblique scan uses the nearest axes.
"""

import nibabel
import numpy as np
from numpy.typing import NDArray

from mrsr_tf.volume import Volume

VIEWS = ("axial", "coronal", "sagittal")  # perpendicular to the axes of an upright array
ENDS = ("SI", "AP", "RL")  # letters at the ends of the axes of an upright array
LPS = (("R", "L"), ("A", "P"), ("I", "S"))
UPRIGHT = nibabel.orientations.axcodes2ornt("IPL", LPS)


def upright_orientation(volume: Volume) -> tuple[NDArray[np.int_], NDArray[np.float64]]:
    """How to turn arrays of a volume upright, for `nibabel.apply_orientation`; and spacing in mm.

    Row k of the first has the upright axis of array axis k, and 1 or -1 for its direction. The
    spacing is that of the upright axes.
    """
    start = nibabel.io_orientation(volume.affine)
    orientation = nibabel.orientations.ornt_transform(start, UPRIGHT).astype(int)
    return orientation, volume.spacing_mm[np.argsort(orientation[:, 0])]
