"""The revisions of all APIs that come with specstack. Each file is one, found by what it contains."""
