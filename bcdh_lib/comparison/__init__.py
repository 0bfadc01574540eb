"""The study over seeds: every method at every code length, tuned equally."""
