"""The residual 3-D CNN, and every form in which a trained one is kept."""
