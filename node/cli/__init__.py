"""The command line: one module a command group; prints results, decides nothing."""
