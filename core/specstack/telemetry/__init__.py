"""Metrics and traces of a running server, named by the spec's telemetry.yaml. What is off is not bound."""
