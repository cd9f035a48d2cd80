"""The station that fetches studies from other archives."""
