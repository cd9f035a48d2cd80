"""What a network is worth: metrics, operating point, source probe."""
