"""A DICOM node: studies in by C-STORE, their super-resolved series and T2 maps out.

Two processes share one folder, the spool, and nothing else. The node receives and shows its state;
the worker makes and sends, one study at a time. What a study has been through is told by the place
where it lies, and it gets from place to place by one rename: killed at any moment, both go on from
what they find.
"""
