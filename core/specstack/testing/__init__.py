"""For the tests of providers, ours and others'."""
