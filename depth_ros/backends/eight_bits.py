"""Whether the CPU computes in 8 bits what it is told to."""

from __future__ import annotations

from pathlib import Path

_CPU_INFO = Path('/proc/cpuinfo')
_EXACT = frozenset({'avx512_vnni', 'avx_vnni', 'amx_int8'})


def sums_bytes_exactly(cpu_info: Path = _CPU_INFO) -> bool:
    """Whether products of bytes are summed in 32 bits.

    x86 processors without VNNI (Intel before 2019, AMD before Zen 4) add pairs of them in 16 bits,
    where 255 * 127 + 255 * 127 is cut off; convolutions were off by a fifth. Other processors have
    no such instruction; where nothing is told of the processor, it is believed.

    Args:
        cpu_info: what the kernel tells of it.
    """
    try:
        told = cpu_info.read_text()
    except OSError:
        return True
    flags = next((line for line in told.splitlines() if line.startswith('flags')), None)
    return flags is None or not _EXACT.isdisjoint(flags.split())


def ort_settings() -> dict[str, str]:
    """Settings of a session of ONNX Runtime with which an int8 graph is computed right here.

    Where the CPU cuts sums off, that is in single precision. Its setting for 8 bits without loss
    (session.x64quantprecision) refuses graphs whose convolutions share a zero point.
    """
    return {} if sums_bytes_exactly() else {'session.disable_quant_qdq': '1'}
