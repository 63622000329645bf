"""Keeps freed memory in the process, where glibc would return every large block at once."""

import ctypes
import ctypes.util

# From glibc's malloc.h.
_M_TRIM_THRESHOLD = -1
_M_MMAP_MAX = -4
_LARGEST_INT = 2**31 - 1


def keep_freed_memory() -> bool:
    """Stops glibc from mapping and unmapping large blocks; for processes that train on CPU.

    A training step makes and drops hundreds of tensors of tens of megabytes. By default each is
    mapped anew and its pages are zeroed by the kernel again: a quarter of the step's time.
    Returns whether it took effect; elsewhere than on glibc it does nothing.
    """
    name = ctypes.util.find_library('c')
    if name is None:
        return False
    mallopt = getattr(ctypes.CDLL(name), 'mallopt', None)
    if mallopt is None:
        return False
    return bool(mallopt(_M_MMAP_MAX, 0)) and bool(mallopt(_M_TRIM_THRESHOLD, _LARGEST_INT))
