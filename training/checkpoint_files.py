"""How Lightning writes checkpoints here: straight into their folder.

By itself it makes a whole copy in memory, and another one in the folder for temporary files,
which is often small, or memory too: a run then ended for want of space that its folder has.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO


class CheckpointFiles(TorchCheckpointIO):
    """Writes each checkpoint where it is told to; callbacks.save_checkpoint makes it whole."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None
    ) -> None:
        """Write a file; half of one may stay where that fails.

        Raises:
            OSError: it cannot be written.
        """
        try:
            with open(path, 'wb') as file:
                torch.save(checkpoint, file)
        except RuntimeError as error:
            # After a write that failed torch goes on to miss what should have been written.
            if isinstance(error.__context__, OSError):
                raise error.__context__ from None
            raise
