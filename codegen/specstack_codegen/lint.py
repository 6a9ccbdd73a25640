"""Check a spec against every lint rule; all faults at once."""

from __future__ import annotations

from pathlib import Path

from specstack_codegen.bundle import Spec, read_spec
from specstack_codegen.lint_rules import (
    examples,
    extensions,
    external,
    files,
    home,
    loading,
    observing,
    operations,
    paths,
    providers,
    schemas,
    serving,
    shapes,
    storage,
    telemetry,
    unions,
)
from specstack_codegen.lint_rules.registry import RULES
from specstack_codegen.source import SpecError, SpecErrors

# importing a module registers its rules
RULE_MODULES = (
    loading,
    extensions,
    shapes,
    schemas,
    unions,
    operations,
    paths,
    serving,
    observing,
    files,
    providers,
    storage,
    examples,
    telemetry,
    external,
)


def lint(spec: Spec) -> list[SpecError]:
    """Every fault of `spec`, in file order, those found while reading and merging it included."""
    unreadable = any(fault.rule == "yaml-syntax" for fault in spec.faults)
    rules = [rule for rule in RULES.values() if not (rule.across and unreadable)]
    return SpecErrors(error for rule in rules for error in rule.errors(spec)).errors


def checked_spec(root: Path, *, external: bool = False) -> Spec:
    """Read the spec folder `root` and check it; raises SpecErrors with every fault there is."""
    base = None if (root / "meta").is_dir() else home.main_root()
    spec = read_spec(root, base, external=external)
    errors = lint(spec)
    if errors:
        raise SpecErrors(errors)
    return spec
