"""The command line. Each module is one command; nothing heavy is imported before a command runs."""
