"""How late the depth node's answers are, beside an echo of as many bytes."""
