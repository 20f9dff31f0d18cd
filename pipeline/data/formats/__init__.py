"""One file a format of click logs: how its units of rows are found and decoded into model inputs."""
