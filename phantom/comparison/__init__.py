"""Comparison of a phantom with a real knee: the pair of scans, figures and pictures."""
