"""The parts of the depth node: inputs, outputs, worker, model loading and diagnostics."""
