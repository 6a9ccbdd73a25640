"""Providers that call another server."""
