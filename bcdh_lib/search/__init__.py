"""One's own photos, from a folder to a search: what the command `bcdh` (bcdh_lib/cli.py) does."""
