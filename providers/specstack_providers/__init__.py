"""The providers that come with specstack: one module per provider type, at the path its spec names."""
