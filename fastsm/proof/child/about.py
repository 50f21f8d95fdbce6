"""Job "about": which devices this TensorFlow has, and why it has no GPU."""

from __future__ import annotations

import ctypes
import os
from typing import Any

import tensorflow as tf


def about(visible: str | None = None) -> dict[str, Any]:
    """What TensorFlow was built with, and the GPUs that it sees.

    Args:
        visible: Look with this CUDA_VISIBLE_DEVICES, where "" stands for none set.

    Returns:
        built_with_cuda: Whether it can use CUDA at all.
        gpus: The names of the GPUs that TensorFlow sees.
        driver: How many GPUs the driver has and the error of its start, {"n", "error"}, or why
            there is no driver.
    """
    if visible:
        os.environ["CUDA_VISIBLE_DEVICES"] = visible
    elif visible is not None:
        os.environ.pop("CUDA_VISIBLE_DEVICES", None)
    gpus = tf.config.list_physical_devices("GPU")
    details = [tf.config.experimental.get_device_details(gpu) for gpu in gpus]
    return {
        "built_with_cuda": tf.test.is_built_with_cuda(),
        "gpus": [d.get("device_name", gpu.name) for d, gpu in zip(details, gpus, strict=True)],
        "driver": _driver(),
    }


def _driver() -> dict[str, int] | str:
    """What the CUDA driver says, whatever TensorFlow makes of it."""
    try:
        library = ctypes.CDLL("libcuda.so.1")
    except OSError as e:
        return str(e)
    n = ctypes.c_int()
    error = library.cuInit(0) or library.cuDeviceGetCount(ctypes.byref(n))
    return {"n": n.value, "error": error}
