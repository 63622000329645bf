"""TensorRT engines: built of a model's graphs, verified on the GPU that they run on, and kept."""
