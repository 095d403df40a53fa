"""What an evaluation leaves in its folder: rows, planes and boxes for the viewer."""
