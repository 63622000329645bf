"""Bags, image folders and videos through the pipeline, for everything that does not run live."""
