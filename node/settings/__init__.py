"""Frozen settings from ``groundglass.toml`` and the environment, validated once; errors name the key."""
