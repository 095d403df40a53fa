"""The scanner: protocols, the acquisition of a knee, and the DICOM files that it writes."""
