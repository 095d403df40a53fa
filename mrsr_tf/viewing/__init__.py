"""Scans on HTML pages: the viewer, and a page that compares a scan with a super-resolved one."""
