"""CPUs that cut sums of 8-bit products off, and what is done there."""

from __future__ import annotations

from pathlib import Path

import pytest

from depth_ros.backends import eight_bits
from depth_ros.backends.eight_bits import ort_settings, sums_bytes_exactly


@pytest.mark.parametrize(
    ('told', 'exact'),
    [
        ('processor : 0\nflags\t\t: fpu avx2 fma\n', False),
        ('processor : 0\nflags\t\t: fpu avx2 avx_vnni\n', True),
        ('flags : avx512f avx512_vnni\n', True),
        ('processor : 0\nFeatures : fp asimd asimddp\n', True),
    ],
)
def test_the_kernel_tells_how_bytes_are_summed(tmp_path: Path, told: str, exact: bool) -> None:
    (tmp_path / 'cpuinfo').write_text(told)
    assert sums_bytes_exactly(tmp_path / 'cpuinfo') is exact
    assert sums_bytes_exactly(tmp_path / 'missing')


@pytest.mark.parametrize('exact', [False, True])
def test_only_there_is_onnx_runtime_told_to_compute_in_single_precision(
    exact: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(eight_bits, 'sums_bytes_exactly', lambda: exact)
    assert ort_settings() == ({} if exact else {'session.disable_quant_qdq': '1'})
