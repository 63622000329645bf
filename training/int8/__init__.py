"""8-bit copies of a model, calibrated on a bag."""
