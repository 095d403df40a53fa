"""Scans in and out: which format a path is, where scans lie, reading and writing."""
