"""Notebooks executed, figures, and the site."""
