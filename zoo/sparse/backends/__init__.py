"""Backends, one per file or folder; each computes the primitives of `zoo.sparse.Backend`."""
