"""What the backends `cpu` and `gpu` share: an index that is a bitmap, and what follows from it."""
