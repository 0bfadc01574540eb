"""Benchmarks, codes of their photos, and scores."""
