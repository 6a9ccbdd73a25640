"""The runtime of specstack: it knows operations, resources and providers as data, none of them by name."""

__version__ = "0.1.0"
