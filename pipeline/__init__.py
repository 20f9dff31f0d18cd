"""The stages of a run: click logs in, a found model, its ReRAM mapping and a report out."""
