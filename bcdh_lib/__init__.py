"""Binary codes for image retrieval, learned from photos that nobody labelled: one folder for each step of the pipeline."""
