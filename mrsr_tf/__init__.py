"""MRSR-TF: twice the slices of a dual-echo DESS scan, with T2 kept true."""

__version__ = "0.1.0"
