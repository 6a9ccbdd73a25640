"""From spec to code: load with positions, bundle, lint, build the IR, emit."""
