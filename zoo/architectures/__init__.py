"""Architectures: one file each, a typed config and a network."""
