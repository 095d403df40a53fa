"""Training records: patches, their schema and manifest, and the batches read from them."""

from mrsr_tf.records import patches

__all__ = ["patches"]
