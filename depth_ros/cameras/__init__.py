"""Cameras: intrinsics, calibration, rectification, and the view that a network gets of each."""
