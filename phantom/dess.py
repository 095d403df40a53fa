"""The signals that the phantom's tissues give."""

from mrsr_tf.dess import dess_signals

__all__ = ["dess_signals"]
