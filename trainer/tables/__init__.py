"""The papers' tables, and one's own figures beside them."""
