"""The four experiments of an evaluation, and the runner that takes them over the subjects."""
