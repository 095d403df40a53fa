"""Finding, recognising, reading and writing scans."""
