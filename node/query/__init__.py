"""Answers queries about what is stored here."""
