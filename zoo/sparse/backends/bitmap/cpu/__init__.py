"""Backend `cpu`: sparse convolution on bitmaps, compiled by Numba when it is first used."""
