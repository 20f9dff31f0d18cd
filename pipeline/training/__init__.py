"""Training: its configuration, loop, table pipeline, metrics, and the networks that are trained."""
