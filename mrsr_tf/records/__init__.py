"""Training records: patches, their schema and manifest, and the batches read from them."""
