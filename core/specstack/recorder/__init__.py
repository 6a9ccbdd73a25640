"""Recording what providers ask of models and other servers, and answering from the recordings.

Everything passes through one seam: `Upstream` for HTTP, `Deps.calls` for engines in the process and the
transports of vendors' packages. Nothing of this is imported unless somebody records.
"""
