"""highdicom, which is only installed by who needs segmentations or Parametric Maps in DICOM."""

from mrsr_tf.errors import InputError


def check_highdicom(purpose: str) -> None:
    """Raises an `InputError` that says how to get highdicom for the purpose, if it is missing."""
    try:
        import highdicom  # noqa: F401
    except ImportError:
        raise InputError(
            f"expected highdicom, which `pip install highdicom` gives, {purpose}"
        ) from None
