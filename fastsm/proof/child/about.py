"""Job "about": which devices this TensorFlow has, and why it has no GPU."""

from __future__ import annotations

import ctypes
import os
from typing import Any

import tensorflow as tf


def about(visible: str | None = None) -> dict[str, Any]:
    """What TensorFlow was built with, and the GPUs that it sees.

    Args:
        visible: Look again with this CUDA_VISIBLE_DEVICES; "" for all that there are.
    """
    if visible is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = visible
        if not visible:
            del os.environ["CUDA_VISIBLE_DEVICES"]
    gpus = tf.config.list_physical_devices("GPU")
    details = [tf.config.experimental.get_device_details(g) for g in gpus]
    build = tf.sysconfig.get_build_info()
    return {
        "built_with_cuda": tf.test.is_built_with_cuda(),
        "cuda": build.get("cuda_version"),
        "gpus": [d.get("device_name", "GPU") for d in details],
        "driver": _driver(),
    }


def _driver() -> str | int:
    """How many GPUs the driver has, or why it has none."""
    try:
        library = ctypes.CDLL("libcuda.so.1")
    except OSError as e:
        return str(e)
    n = ctypes.c_int()
    code = library.cuInit(0) or library.cuDeviceGetCount(ctypes.byref(n))
    return f"cuInit returns {code}" if code else n.value
