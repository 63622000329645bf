"""Checkpoint files of the papers' authors: their keys and shapes, and their import."""
