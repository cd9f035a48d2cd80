"""The index (SQL) and the object files: the only place where anything of the node is kept."""
