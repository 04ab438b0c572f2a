"""One file format per module: read(path) -> Volume and write(volume, path) -> None."""
