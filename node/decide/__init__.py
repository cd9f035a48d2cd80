"""Pure decisions: which series is fit, and what a share of positive slices means."""
