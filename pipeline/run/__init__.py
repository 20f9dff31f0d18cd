"""A run is a folder: its records, checkpoints, files and processes."""
