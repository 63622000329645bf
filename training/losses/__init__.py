"""Losses, one a file: tensors to scalars and maps. They know no batch, logger or trainer."""
