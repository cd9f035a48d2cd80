"""Alembic migrations of the index; shipped inside the package and run when the store is opened."""
