"""Compares a spec with another OpenAPI document, fact by fact, and says how much of it is the same.

`document` reads both sides, `shapes` normalises schemas, `pairing` finds the union variants that belong
together, `comparison` makes the facts, `deviations` takes out what differs on purpose, `report` counts and
prints, `ratchet` keeps what was reached, and `held` what our spec said there.
"""
