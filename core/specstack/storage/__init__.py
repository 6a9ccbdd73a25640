"""Data that outlives the process: backends, the stores on them, and the distribution registry."""
