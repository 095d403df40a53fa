"""Regions of a knee scan: regions of interest, layers of cartilage, and the body."""
