"""Hours of a running depth node with everything that goes wrong on robots mixed in."""
