"""Binary codes for photos nobody labelled: the library behind the notebooks, one noun of the pipeline a file."""
