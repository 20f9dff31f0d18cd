"""ReRAM processing-in-memory co-design: what a model costs on crossbars, and a search for its mapping.

The folders are the chip: devices → circuits → mapping → cost → functional → search.
"""
