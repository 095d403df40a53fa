"""MRSR-TF: twice the slices of a dual-echo DESS scan, with T2 kept true."""

from importlib.metadata import version

__version__ = version("mrsr-tf")
