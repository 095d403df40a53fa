"""Super-resolves a scan: twice the slices, both echoes, T2 kept.

A folder of DICOM gives a folder of derived DICOM (one series per echo), a NIfTI file a NIfTI file:

    python -m mrsr_tf.infer --input=scans/knee --output=super_resolved/knee --model=runs/dual
    python -m mrsr_tf.infer --input=knee.nii.gz --output=knee_sr.nii.gz --model=exported
    python -m mrsr_tf.infer --input=scans/knee --output=interpolated/knee --method=tci
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from absl import flags

from mrsr_tf import command
from mrsr_tf.volume import Volume

METHODS = {"tci": "tricubic", "fi": "fourier"}
DEFAULT_FACTOR = 2
Resolve = Callable[[Volume], Volume]

INPUT = flags.DEFINE_string("input", None, "A folder of DICOM, or a NIfTI file.", required=True)
OUTPUT = flags.DEFINE_string("output", None, "Folder or NIfTI file to write.", required=True)
MODEL = flags.DEFINE_string(
    "model", "pretrained", "A finished run folder, or an exported one; for --method=mrsr."
)
SLICE_FACTOR = flags.DEFINE_integer(
    "slice_factor", None, "Fine slices per thick one: the model's, and 2 for tci and fi."
)
SLICE_AXIS = flags.DEFINE_integer("slice_axis", 2, "Which axis of a NIfTI counts slices.")
METHOD = flags.DEFINE_enum(
    "method", "mrsr", ["mrsr", *METHODS], "The network, tricubic or Fourier interpolation."
)
OVERWRITE = flags.DEFINE_bool("overwrite", False, "Replace an output of another configuration.")


def main() -> None:
    """Reads the scan, super-resolves or interpolates it, and writes what came out."""
    from mrsr_tf import __version__, derived, scans

    source, output = Path(INPUT.value), Path(OUTPUT.value)
    resolve, how = _network() if METHOD.value == "mrsr" else _interpolation()
    derivation = {"version": __version__, "method": METHOD.value, **how}
    derived.check_new(output, source, derivation, overwrite=OVERWRITE.value)
    thick = scans.read_scan(source, slice_axis=SLICE_AXIS.value)
    fine = resolve(thick)
    derived.write(fine, output, source=source, derivation=derivation, slice_axis=SLICE_AXIS.value)
    slices = [
        f"{volume.array.shape[2]} of {volume.spacing_mm[2]:.3g} mm" for volume in (thick, fine)
    ]
    print(f"{thick.echoes} x {slices[0]} slices -> {slices[1]}: {output}")


def _network() -> tuple[Resolve, dict[str, Any]]:
    with command.quiet_imports():
        from mrsr_tf import runs
        from mrsr_tf.inference import super_resolve

    model = runs.load(MODEL.value, slice_factor=SLICE_FACTOR.value)
    how = {"slice_factor": model.slice_factor, "weights_sha256": model.weights_sha256}
    return lambda volume: super_resolve(volume, model), how


def _interpolation() -> tuple[Resolve, dict[str, Any]]:
    from mrsr_tf.slices import interpolate

    factor = DEFAULT_FACTOR if SLICE_FACTOR.value is None else SLICE_FACTOR.value
    method = METHODS[METHOD.value]

    def resolve(volume: Volume) -> Volume:
        return volume.resliced(interpolate(volume.array, factor, method=method), factor)

    return resolve, {"slice_factor": factor}


if __name__ == "__main__":
    command.run(main)
