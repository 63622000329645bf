"""The machine and the process: memory, signals, files, transport, ROS distribution and domain."""
