"""The station that takes objects in: C-ECHO and C-STORE, written through the store's spool."""
