"""Backends of the sparse engine, one per file."""
