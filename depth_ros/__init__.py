"""Metric depth, egomotion and point clouds from camera images on a robot (no torch in here)."""
