"""The lint rules, one function each. Its docstring is the rule's documentation."""
