"""Where a measure is taken: regions of interest, layers of cartilage, the body."""
