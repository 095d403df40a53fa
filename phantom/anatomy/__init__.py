"""What a knee is made of, and where."""
