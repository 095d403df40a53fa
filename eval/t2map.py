r"""Computes the T2 map of a dual-echo DESS scan, in ms.

    python -m eval.t2map --input=scans/knee --output=t2/knee
    python -m eval.t2map --input=scans/knee --output=t2/knee --method=exact --t1_ms=1000
    python -m eval.t2map --input=knee.nii.gz --output=t2/knee --tr_ms=23 --te_ms=7 --flip_deg=20 \
        --spoiler_area=3132 --spoiler_duration_us=1560

The output folder holds t2_ms.nii.gz (NaN where there is no T2 in (0, 100] ms), t2_sd_ms.nii.gz (the
standard deviation of each voxel's T2 that is caused by the scan's noise), t2_ms.png and, for a
DICOM scan, dicom/ (a derived series; 0 where there is no T2). --t2_format=pm makes that a DICOM
Parametric Map of milliseconds. Where regions of the scan are drawn, t2_regions.csv holds their T2.
A folder of several scans gives a folder for each; a scan that fails does not stop the others and is
named at the end.

It is a BIDS-App, too: of a BIDS dataset it writes a derivative dataset with NAME_T2map.nii.gz and
NAME_desc-sd_T2map.nii.gz, in seconds, as BIDS requires:

    python -m eval.t2map bids t2 participant --participant_label 01 02
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from absl import flags, logging

from mrsr_tf import cli
from mrsr_tf.errors import AlreadyDone, Failures, InputError, naming
from mrsr_tf.io.scan_format import T2Format
from mrsr_tf.mri.dess import T2Method
from mrsr_tf.mri.t2 import CARTILAGE_T1_MS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from mrsr_tf.io.labels import LabelMap
    from mrsr_tf.io.scans import Scan
    from mrsr_tf.volume import Volume

REGIONS_TABLE = "t2_regions.csv"

INPUT = cli.define_input()
OUTPUT = flags.DEFINE_string(
    "output",
    None,
    "The folder to write; for several scans, a folder for each in it.",
    required=True,
)
METHOD = flags.DEFINE_enum(
    "method",
    T2Method.ANALYTIC,
    list(T2Method),
    "The paper's formula (5 % too long at 50 ms, 13 % at 80), or inversion of the steady state.",
)
T1_MS = cli.define_quantity("t1_ms", CARTILAGE_T1_MS, "T1: 1200 for cartilage, 1000 for meniscus.")
TR_MS = cli.define_quantity("tr_ms", None, "Repetition time; overrides the header.")
TE_MS = cli.define_quantity("te_ms", None, "Echo time of S1; overrides the header.")
FLIP_DEG = cli.define_quantity("flip_deg", None, "Flip angle; overrides the header.", most=180)
SPOILER_AREA = cli.define_quantity(
    "spoiler_area",
    None,
    "Area of the gradient between the echoes as GE stores it (such as 3132); overrides the header.",
    least=0,
)
SPOILER_DURATION_US = cli.define_quantity(
    "spoiler_duration_us", None, "Duration of that gradient; overrides the header.", least=0
)
T2_FORMAT = flags.DEFINE_enum(
    "t2_format",
    T2Format.MR,
    list(T2Format),
    "What T2 of a DICOM scan is written as: mr, a series of MR images, which any viewer of a PACS "
    "shows; pm, a Parametric Map of float32 milliseconds, which 3D Slicer and OHIF read with real "
    "values and many viewers do not show; or both. A Parametric Map needs the package highdicom.",
)
REGIONS = flags.DEFINE_string(
    "regions",
    None,
    "Regions of the scan, drawn on any grid, whose T2 t2_regions.csv holds. By default those in "
    "the scan's folder, if there are any.",
)
SERIES = cli.define_series()
PARTICIPANT_LABEL = cli.define_participant_label()
SLICE_AXIS = cli.define_slice_axis()
OVERWRITE = cli.define_overwrite()


def main() -> None:
    """Computes the map of the scan, or of each scan in a folder of several."""
    from mrsr_tf.io import bids_dataset
    from mrsr_tf.io.scans import find_scans
    from mrsr_tf.outputs import check_output

    failures, source, output = Failures(), Path(INPUT.value), Path(OUTPUT.value)
    regions = filter(None, (REGIONS.value,))
    check_output(output, (*bids_dataset.apart_from(source, output), *regions))
    scans = find_scans(source, SERIES.value, failures.add, PARTICIPANT_LABEL.value)
    total, write = len(scans) + len(failures.subjects), _write_folder
    outputs = {name: output / name if total > 1 else output for name in scans}
    is_derivative = bids_dataset.has_derivative(source, output)
    _check_flags(total, is_derivative=is_derivative)
    if is_derivative:
        bids_dataset.write_description(output, source)
        outputs, write = dict.fromkeys(scans, output), _write_derivative
    for name, scan in scans.items():
        try:
            write(scan, outputs[name])
        except AlreadyDone as done:
            print(done)
        except InputError as error:
            if total == 1:
                raise
            failures.add(scan, error)
    failures.check(total, "scan", "the maps of the others are complete")


class Maps(NamedTuple):
    """What is computed from a scan: (rows, cols, slices) arrays, and how.

    Attributes:
        scan: the scan, with the sequence that flags override.
        t2_ms: T2 in ms; NaN where there is none.
        deviation_ms: its standard deviation because of noise, in ms.
        tissue: where the signal is above the noise.
        derivation: the method and its parameters.
    """

    scan: "Volume"
    t2_ms: "NDArray[np.floating]"
    deviation_ms: "NDArray[np.floating]"
    tissue: "NDArray[np.bool_]"
    derivation: dict[str, Any]


def _write_folder(source: "Scan", output: Path) -> None:
    """Writes a folder with the maps of one scan, their derived series and their figure."""
    from eval.regions.t2_table import COLUMNS, t2_rows
    from eval.reporting.t2_figure import t2_figure
    from eval.results.rows import write_numbers
    from mrsr_tf.io import nifti
    from mrsr_tf.outputs import output_folder

    scan = source.read(SLICE_AXIS.value)
    labels = _labels(source, scan)
    settings = {**_settings(scan), "slice_axis": SLICE_AXIS.value, **_options(labels)}
    folder_of_map = output_folder(output, settings, command="eval.t2map", overwrite=OVERWRITE.value)
    with folder_of_map as folder:
        maps = _compute(scan, source)
        sidecar: dict[str, Any] = {"Units": "ms", "Derivation": maps.derivation}
        for name, image in (("t2_ms", maps.t2_ms), ("t2_sd_ms", maps.deviation_ms)):
            path = folder / f"{name}.nii.gz"
            nifti.write_map(image, scan, path, slice_axis=SLICE_AXIS.value, sidecar=sidecar)
        source.format.write_t2_map(
            maps.t2_ms, scan, folder / "dicom", source, maps.derivation, T2Format(T2_FORMAT.value)
        )
        if labels:
            write_numbers(folder / REGIONS_TABLE, COLUMNS, t2_rows(maps.t2_ms, labels))
        title = f"T2, {METHOD.value}, T1 {T1_MS.value:g} ms"
        t2_figure(maps.t2_ms, scan, maps.tissue, title).savefig(folder / "t2_ms.png")
    print(f"{_summary(maps)}: {output}")


def _check_flags(scans: int, *, is_derivative: bool) -> None:
    """Checks that what flags ask for can be made."""
    from mrsr_tf.io.dicom.highdicom_package import check_highdicom

    kind = "a BIDS dataset" if is_derivative else cli.counted(scans, "scan")
    if REGIONS.value and kind != "1 scan":
        raise InputError(f"expected 1 scan for --regions, got {kind}: {INPUT.value}")
    if T2_FORMAT.value == T2Format.MR:
        return
    if is_derivative:
        raise InputError(f"expected DICOM for --t2_format={T2_FORMAT.value}, got {kind}")
    check_highdicom(f"for --t2_format={T2_FORMAT.value}")


def _labels(source: "Scan", scan: "Volume") -> "LabelMap | None":
    """The regions of a scan; of its own ones, unusable ones are left out with a warning."""
    from eval.regions import rois
    from mrsr_tf.io.labels import read_labels

    if REGIONS.value:
        return read_labels(REGIONS.value, scan)
    try:
        return rois.subject_labels(source.subject, scan, slice_axis=SLICE_AXIS.value)
    except InputError as error:
        logging.warning("%s is not made: %s", REGIONS_TABLE, error)
        return None


def _options(labels: "LabelMap | None") -> dict[str, str]:
    """What else determines the files of a folder."""
    from eval.regions.t2_table import labels_digest

    options = {} if labels is None else {"regions": labels_digest(labels)}
    if T2_FORMAT.value != T2Format.MR:
        options["t2_format"] = T2_FORMAT.value
    return options


def _write_derivative(source: "Scan", output: Path) -> None:
    """Writes the maps of one scan into the derivative dataset `output`, in seconds."""
    from mrsr_tf.io import bids, derived_scans, nifti
    from mrsr_tf.io.bids_dataset import derivative_path, t2_map_sidecar

    deviation = bids.entities(source.path).get("desc", "") + "sd"
    paths = [
        derivative_path(output, source.path, desc=desc, suffix="T2map") for desc in (deviation, "")
    ]
    for path in paths:
        derived_scans.check_replaceable(path, source)
    scan = source.read(SLICE_AXIS.value)
    if not OVERWRITE.value:
        derived_scans.check_unfinished(paths[1], _settings(scan))
    maps = _compute(scan, source)
    sidecar = t2_map_sidecar(paths[1], source.path, maps.scan, METHOD.value)
    sidecar["Derivation"] = {**maps.derivation, **_settings(scan)}
    for path, image in zip(paths, (maps.deviation_ms, maps.t2_ms), strict=True):
        nifti.write_map(image / 1000, scan, path, slice_axis=SLICE_AXIS.value, sidecar=sidecar)
    print(f"{_summary(maps)}: {paths[1]}")


def _settings(scan: "Volume") -> dict[str, Any]:
    """What determines the maps."""
    from mrsr_tf import __version__

    settings = {"version": __version__, "method": METHOD.value, "t1_ms": T1_MS.value}
    return {**settings, **_sequence(), "source": scan.identity}


def _sequence() -> dict[str, float | None]:
    """The parameters of the sequence that flags override."""
    overrides = (TR_MS, TE_MS, FLIP_DEG, SPOILER_AREA, SPOILER_DURATION_US)
    return {flag.name: flag.value for flag in overrides}


def _compute(scan: "Volume", source: "Scan") -> Maps:
    from tqdm import tqdm

    from eval import t2_noise
    from mrsr_tf import __version__
    from mrsr_tf.mri.noise import above_noise
    from mrsr_tf.mri.t2 import scan_t2, with_sequence

    identity, scan = scan.identity, with_sequence(scan, **_sequence())
    with tqdm(total=2, desc="T2 map", unit="step", disable=None, delay=2) as progress:
        with naming(source):
            t2_ms, parameters = scan_t2(scan, method=METHOD.value, t1_ms=T1_MS.value, label=source)
        progress.update()
        deviation_ms = t2_noise.t2_deviation(scan, **parameters)
        progress.update()
    derivation = {"version": __version__, **parameters, "source": identity}
    return Maps(scan, t2_ms, deviation_ms, above_noise(scan), derivation)


def _summary(maps: Maps) -> str:
    import numpy as np

    invalid, tissue = np.isnan(maps.t2_ms), maps.tissue
    valid_t2 = maps.t2_ms[tissue & ~invalid]
    median = f"median T2 {np.median(valid_t2):.1f} ms" if valid_t2.size else "no T2"
    return (
        f"{median}; no T2 up to 100 ms in {(tissue & invalid).sum():,} of the {tissue.sum():,} "
        f"voxels above the noise, and in {invalid.sum():,} of all {invalid.size:,}"
    )


if __name__ == "__main__":
    cli.run(main)
