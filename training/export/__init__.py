"""Networks to model folders: self-describing ONNX graphs, in single and half precision."""
