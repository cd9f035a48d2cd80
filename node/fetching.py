"""What this node fetches from other archives, from the settings."""
