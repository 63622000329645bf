"""Networks: tensors to tensors. `build` is the only way one is made outside of tests."""
