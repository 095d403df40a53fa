"""Training records: subjects read from disk, split, cut into patches, written and checked."""
