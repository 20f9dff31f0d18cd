"""The batches of a split in a seeded order, with a position that any number of ranks can resume from."""
