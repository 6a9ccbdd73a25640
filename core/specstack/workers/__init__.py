"""Several processes for one server: a supervisor that serves nothing, and the workers that it keeps alive."""
