"""Data-set readers, one file a kind, and splits by patient or by the nearest thing to one."""
