"""What is known of a comparison, in words: geometry, sequence, method and residual."""

from collections.abc import Mapping
from typing import Any

from mrsr_tf.network.precision import Precision
from mrsr_tf.viewing.comparison import Comparison

DIGITS = 12  # of a hash


def facts(comparison: Comparison) -> dict[str, str]:
    """Heading -> fact; what is unknown is left out."""
    thick, fine = comparison.thick, comparison.fine
    slices = (f"{v.array.shape[2]} of {v.spacing_mm[2]:.4g} mm" for v in (thick, fine))
    rows, cols, *_ = thick.array.shape
    down_mm, right_mm, _ = thick.spacing_mm
    all_facts = {
        "Slices": " → ".join(slices),
        "Pixels": f"{rows} x {cols} of {down_mm:.4g} x {right_mm:.4g} mm",
        "Thickness as acquired": _quantities("mm", thick.slice_thickness_mm),
        "Echo times": _quantities("ms", *(thick.echo_times_ms or ())),
        "Repetition time": _quantities("ms", thick.repetition_time_ms),
        "Flip angle": _quantities("degrees", thick.flip_angle_deg),
        "Method": _method(comparison.derivation),
        "MRSR-TF": str(comparison.derivation.get("version", "")),
        "Thickened again": f"differs from the scan by {comparison.residual}",
    }
    return {heading: fact for heading, fact in all_facts.items() if fact}


def _quantities(unit: str, *values: float | None) -> str:
    numbers = [f"{value:.4g}" for value in values if value is not None]
    return f"{' and '.join(numbers)} {unit}" if numbers else ""


def _method(derivation: Mapping[str, Any]) -> str:
    parts = [str(derivation.get("method", ""))]
    if "weights_sha256" in derivation:
        parts.append(f"weights {str(derivation['weights_sha256'])[:DIGITS]}")
    if derivation.get("precision") not in (None, Precision.FLOAT32):
        parts.append(str(derivation["precision"]))
    if derivation.get("ensemble", 1) != 1:
        parts.append(f"mean over {derivation['ensemble']} mirrored scans")
    if derivation.get("consistent"):
        parts.append("made consistent with the scan")
    return ", ".join(parts)
