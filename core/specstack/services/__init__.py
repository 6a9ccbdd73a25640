"""Core services: operations that the server answers itself, each module with `create(runtime)`."""
