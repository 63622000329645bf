"""Tests of small networks are fastest, and repeat exactly, on one thread."""

import torch

torch.set_num_threads(1)
