"""The photo collection: where photos come from, how files are decoded, and what is left out."""
