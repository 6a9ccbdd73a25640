"""Distributions: what they need, how they are described, and how an image of one is written."""
