"""HTTP of vendors' packages through the recorder's seam.

A module for each library that such packages are built on: `httpx` and `httpx2`. They are imported by the
provider that uses one, and by nothing else.
"""
