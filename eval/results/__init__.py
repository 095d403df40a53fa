"""The files in a results folder: rows, and pictures for the report and its viewer."""
