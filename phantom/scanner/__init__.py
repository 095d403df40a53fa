"""What a scanner makes of a knee."""
