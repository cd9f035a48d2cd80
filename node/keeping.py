"""What this node keeps and for how long, from the settings."""
