"""The experiments of an evaluation, one module each, and the runner that applies them."""
