"""The signals that the phantom's tissues give."""

from mrsr_tf.mri.dess import dess_signals

__all__ = ["dess_signals"]
