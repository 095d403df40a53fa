"""MRSR-TF: super-resolution of dual-echo DESS scans along the slices, with T2 preserved.

    import mrsr_tf

    scan = mrsr_tf.read("scans/knee")                # DICOM, NIfTI, zip, SKM-TEA: a Volume
    fine = mrsr_tf.super_resolve(scan)               # by the network that comes with the package
    t2_ms = mrsr_tf.t2_map(fine, method="exact")     # NaN where there is no T2
    mrsr_tf.write(fine, "fine", like="scans/knee")   # DICOM to DICOM, NIfTI to NIfTI

Each name is imported on first use, so that `import mrsr_tf` is fast and loads no TensorFlow.
"""

from importlib import import_module
from typing import Any

__version__ = "1.0.0"

# name -> (module, name there)
_FUNCTIONS = {
    "Volume": ("volume", "Volume"),
    "read": ("io.scans", "read_scan"),
    "write": ("io.scans", "write_scan"),
    "load_model": ("network.trained_model", "load_model"),
    "super_resolve": ("inference.methods", "super_resolve"),
    "t2_map": ("mri.t2", "t2_map"),
    "thicken": ("mri.slices", "thicken"),
    "interpolate": ("mri.slices", "interpolate"),
}
_PACKAGES = ("mri", "records", "network")  # mri.dess, records.patches, network.build_model, ...

__all__ = [*_FUNCTIONS, *_PACKAGES, "__version__"]


def __getattr__(name: str) -> Any:
    """Imports a public name on first use."""
    if name in _FUNCTIONS:
        module, attribute = _FUNCTIONS[name]
        return getattr(import_module(f"{__name__}.{module}"), attribute)
    if name in _PACKAGES:
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
