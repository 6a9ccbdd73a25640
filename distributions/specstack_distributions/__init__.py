"""The distributions that come with specstack: one directory each, with a run config."""
