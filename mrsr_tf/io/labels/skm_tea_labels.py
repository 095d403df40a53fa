"""Labels of the SKM-TEA data set, which its description names."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from mrsr_tf.io import skm_tea
from mrsr_tf.io.labels.label_map import Label, LabelMap
from mrsr_tf.io.labels.nifti_labels import read_placed

MASKS = Path("segmentation_masks", "dicom-track")
NAMES = {name: Label(0, value) for name, value in skm_tea.LABEL_NAMES.items()}


def mask_path(subject: Path) -> Path:
    """The mask of dicoms/MTR_xxx: segmentation_masks/dicom-track/MTR_xxx.nii.gz."""
    return subject.parent.parent / MASKS / f"{subject.name}.nii.gz"


@dataclass(frozen=True)
class SkmTeaMask:
    """A NIfTI file among SKM-TEA's masks."""

    endings: ClassVar[tuple[str, ...]] = ()

    def matches(self, path: Path) -> bool:
        """Whether the file lies in the folder of the masks."""
        return path.parent.parts[-2:] == MASKS.parts

    def read(self, path: Path) -> LabelMap:
        """Reads the mask."""
        labels, affine = read_placed(path)
        return LabelMap([labels], affine, NAMES)


@dataclass(frozen=True)
class SkmTeaLabels:
    """The labels in an HDF5 file of SKM-TEA."""

    endings: ClassVar[tuple[str, ...]] = ()

    def matches(self, path: Path) -> bool:
        """Whether it is an SKM-TEA file."""
        return skm_tea.SkmTea().matches(path)

    def read(self, path: Path) -> LabelMap:
        """Reads the labels."""
        labels, affine = skm_tea.read_labels(path)
        return LabelMap([labels.astype("int32")], affine, NAMES)
