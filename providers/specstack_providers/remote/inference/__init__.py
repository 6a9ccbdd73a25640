"""Inference by other servers."""
