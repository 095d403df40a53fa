"""How good a super-resolved scan is: image quality, T2, and the report."""
