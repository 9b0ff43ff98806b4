"""The Keras backend: threads, determinism and GPU memory are settled before Keras is imported."""

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from radsynth.common.gpu import confirm_device

SEED_LIMIT = 2**32  # Keras and NumPy's global generator refuse larger seeds.


def prepare(threads: int = 1, backend: str = "tensorflow") -> dict[str, str]:
    """Set up the backend, ``tensorflow`` or ``torch``, and return its name, versions and device.

    Call it before anything imports Keras; a backend that has already started keeps its threads. Operations are
    deterministic: the same seed on the same machine with the same ``threads`` gives the same bits. Other thread
    counts or devices sum in another order, so results then agree only up to rounding, which training amplifies.
    """
    os.environ["KERAS_BACKEND"] = backend
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # what fails also raises
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # torch refuses to be deterministic on CUDA without
    os.environ["OMP_NUM_THREADS"] = os.environ["TF_NUM_INTRAOP_THREADS"] = str(threads)
    os.environ["TF_NUM_INTEROP_THREADS"] = "1"
    if backend == "torch":
        # Keras would import TensorFlow, where it is installed, only to seed it: half of what starting a job costs.
        sys.modules.setdefault("tensorflow", None)
    for name in ("absl", "tensorflow", "h5py"):
        logging.getLogger(name).setLevel(logging.ERROR)

    with _silent_stderr():  # TensorFlow prints notices before it reads its log level
        import keras

    name = keras.backend.backend()
    version, device = _prepare_tensorflow() if name == "tensorflow" else _prepare_torch(threads)
    confirm_device(name, device != "cpu", "keras_backend: torch can, or tensorflow under --sdm conda")
    return {"backend": name, "backend_version": version, "keras_version": keras.__version__, "device": device}


@contextmanager
def _silent_stderr() -> Iterator[None]:
    """Discard what is written to file descriptor 2, also by libraries that are not Python."""
    kept = os.dup(2)
    with open(os.devnull, "w") as null:
        os.dup2(null.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _prepare_tensorflow() -> tuple[str, str]:
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    for gpu in gpus:
        tf.config.experimental.set_memory_growth(gpu, True)
    tf.config.experimental.enable_op_determinism()
    return tf.__version__, tf.config.experimental.get_device_details(gpus[0])["device_name"] if gpus else "cpu"


def _prepare_torch(threads: int) -> tuple[str, str]:
    import torch

    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True)
    return torch.__version__, torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
