"""The networks, own definitions: one file a network, weights read from files that the user names."""
