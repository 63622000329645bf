"""The model folder that training writes and the robot reads: its spec, files and parity."""
