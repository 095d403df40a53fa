"""What the scanner does, as formulas: the DESS signal and its T2, slices, zero-filling, noise."""

from mrsr_tf.mri import dess

__all__ = ["dess"]
