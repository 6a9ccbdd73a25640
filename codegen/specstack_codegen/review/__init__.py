"""Comparing two states of a spec: what a change means for callers, operators and authors of providers."""
