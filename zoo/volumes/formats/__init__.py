"""File formats, one per module, each with read(path) -> Volume and write(volume, path) -> None."""
