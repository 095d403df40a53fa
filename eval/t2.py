"""T2 of a dual-echo DESS scan."""

from mrsr_tf.dess import T2_LIMIT_MS, t2_map

__all__ = ["T2_LIMIT_MS", "t2_map"]
