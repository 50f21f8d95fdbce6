"""What the environment does not say of a setting: told to each fork before its job."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import tensorflow as tf

_setting: dict[str, Any] = {"threads": 1, "gpu": False}


def settle(setting: dict[str, Any]) -> None:
    """Threads, seeds, TF32, soft placement, and no device but the one that is asked for."""
    _setting.update(setting)
    random.seed(setting["seed"])
    np.random.seed(setting["seed"] % 2**32)
    tf.random.set_seed(setting["seed"])
    tf.config.threading.set_intra_op_parallelism_threads(setting["threads"])
    tf.config.threading.set_inter_op_parallelism_threads(setting["threads"])
    tf.config.set_soft_device_placement(True)
    tf.config.experimental.enable_tensor_float_32_execution(False)
    if not setting["gpu"]:
        tf.config.set_visible_devices([], "GPU")  # CUDA_VISIBLE_DEVICES is for NVIDIA's alone


def session_config() -> tf.compat.v1.ConfigProto:
    """The same for a session: of Python's (v1), or serialised of C's (TF_SetConfig)."""
    return tf.compat.v1.ConfigProto(
        intra_op_parallelism_threads=_setting["threads"],
        inter_op_parallelism_threads=_setting["threads"],
        allow_soft_placement=True,
        device_count={} if _setting["gpu"] else {"GPU": 0},
        gpu_options={"allow_growth": True},
    )
