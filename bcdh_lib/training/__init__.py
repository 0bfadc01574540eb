"""Pairs + network + loss -> checkpoints."""
