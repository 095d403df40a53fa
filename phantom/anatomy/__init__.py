"""The anatomy: structures, findings and tissues of a random knee."""
