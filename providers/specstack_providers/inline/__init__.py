"""Providers that do their work in this process."""
