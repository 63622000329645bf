"""How Lightning writes checkpoints here: straight into their folder.

By itself it makes a whole copy in memory, and another one in the folder for temporary files,
which is often small, or memory too: a run then ended for want of space that its folder has.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lightning.pytorch.plugins.io import TorchCheckpointIO

from training.state_files import write_weights_file


class CheckpointFiles(TorchCheckpointIO):
    """Writes each checkpoint where it is told to; callbacks.save_checkpoint makes it whole."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None
    ) -> None:
        """Write a file; half of one may stay where that fails.

        Raises:
            OSError: it cannot be written.
        """
        write_weights_file(checkpoint, Path(path))
