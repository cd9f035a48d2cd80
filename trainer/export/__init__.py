"""Bundles: the only writer of model folders."""
