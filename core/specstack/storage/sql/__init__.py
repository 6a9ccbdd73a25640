"""Tables in databases: `make_sql` makes a backend, whose modules are imported when a row is first touched."""
