"""From bags to batches: frames decoded once and mapped, pairs of them, colour changes."""
