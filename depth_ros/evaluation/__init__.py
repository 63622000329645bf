"""Measuring depth and egomotion: metrics, alignment, guesses to beat, report page (numpy only)."""
