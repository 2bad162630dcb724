"""`--dtype auto` follows the processor."""

from types import SimpleNamespace

import keras
import pytest

from primer_tf.training import choose_dtype as module
from primer_tf.training.choose_dtype import choose_dtype


@pytest.mark.parametrize(
    "flags, backend, expected",
    [
        ("fpu avx512f avx512_bf16", "tensorflow", "mixed_bfloat16"),
        ("fpu amx_bf16", "tensorflow", "mixed_bfloat16"),
        ("fpu amx_bf16", "jax", "float32"),
        ("fpu avx512f avx512_bf16x", "tensorflow", "float32"),
        (None, "tensorflow", "float32"),
    ],
)
def test_auto(tmp_path, monkeypatch, flags, backend, expected):
    file, told = tmp_path / "cpuinfo", []
    if flags is not None:
        file.write_text(f"processor\t: 0\nflags\t\t: {flags}\nbogomips\t: 1\n")
    monkeypatch.setattr(module, "PROCESSOR", file)
    monkeypatch.setattr(keras.backend, "backend", lambda: backend)
    assert choose_dtype("auto", told.append) == expected
    assert told[0].startswith(expected)


@pytest.mark.parametrize(
    "platform, kind, capability, expected",
    [
        ("gpu", "NVIDIA H200", "9.0", "mixed_bfloat16"),
        ("gpu", "NVIDIA A100-SXM4-40GB", "8.0", "mixed_bfloat16"),
        ("gpu", "NVIDIA TITAN RTX", "7.5", "float32"),
        ("gpu", "Tesla V100-SXM2-16GB", "7.0", "float32"),
        ("gpu", "AMD Instinct MI250X", "gfx90a", "float32"),
        ("tpu", "TPU v5 lite", None, "mixed_bfloat16"),
    ],
)
def test_accelerators(monkeypatch, platform, kind, capability, expected):
    jax = pytest.importorskip("jax")
    device = SimpleNamespace(platform=platform, device_kind=kind, compute_capability=capability)
    monkeypatch.setattr(jax, "devices", lambda: [device])
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    assert choose_dtype("auto", print) == expected


def test_a_given_dtype_is_kept():
    assert choose_dtype("bfloat16", print) == "bfloat16"
