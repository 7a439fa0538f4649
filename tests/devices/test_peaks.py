"""The peaks of accelerators, by the names that JAX gives them."""

import pytest

from hax_jax.devices import peaks


@pytest.mark.parametrize(
    ('kind', 'teraflops'),
    [
        ('TPU v4', 275),
        ('TPU v5 lite', 197),
        ('TPU v5', 459),
        ('TPU v5p', 459),
        ('TPU v6 lite', 918),
        ('NVIDIA A100-SXM4-80GB', 312),
        ('NVIDIA A100 80GB PCIe', 312),
        ('NVIDIA H100 80GB HBM3', 989.4),
        ('NVIDIA H100 PCIe', 756),
        ('NVIDIA H200', 989.4),
        ('NVIDIA L4', 121),
        ('Tesla T4', 65),
        ('NVIDIA GeForce RTX 3090', 71),
        ('NVIDIA GeForce RTX 4090', 165.2),
        ('NVIDIA L40S', 0),
        ('NVIDIA GeForce RTX 3090 Ti', 0),
        ('NVIDIA GeForce RTX 4090 D', 0),
        ('NVIDIA GeForce RTX 4090 Laptop GPU', 0),
        ('TPU v4 lite', 0),
        ('TPU v5x', 0),
        ('cpu', 0),
    ],
)
def test_the_peak_is_that_of_the_device_or_unknown(kind: str, teraflops: float) -> None:
    assert peaks.peak_flops(kind) == teraflops * 1e12


def test_a_cpu_has_no_peak() -> None:
    assert peaks.peak_of_all_devices() == 0.0
