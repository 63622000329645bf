"""Families of networks that learn from true depth: how each is made, trained and exported."""
