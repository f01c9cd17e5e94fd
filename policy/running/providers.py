"""Execution providers of ONNX Runtime: which one runs a graph here, and what is missing where one cannot.

    tensorrt ---> cuda ---> cpu      what is asked for and cannot start falls back to the right, with a warning

"auto" is CUDA where it is, else the CPU. TensorRT is for those who ask: it builds an engine for minutes, which is kept
in ~/.cache/midstream/tensorrt by model, device and version.
"""

import contextlib
import ctypes
import hashlib
import io
import logging
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import onnxruntime as ort

from policy.errors import InputError, unknown

LOG = logging.getLogger("midstream.session")
PROVIDERS = {
    "tensorrt": "TensorrtExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "cpu": "CPUExecutionProvider",
}
DEVICES = {"tensorrt": "cuda", "cuda": "cuda", "cpu": "cpu"}  # where their tensors lie
PROGRESS_S = 10.0  # between two lines of a long start
GPU_EXTRA = "install the extra `gpu` in place of `cpu`"


def candidates(wanted: str) -> list[str]:
    """The providers to try, in order, for the one that is asked for; `InputError` for an unknown name."""
    if wanted != "auto" and wanted not in PROVIDERS:
        raise unknown("provider", wanted, ["auto", *PROVIDERS])
    if wanted == "auto":
        return ["cuda", "cpu"] if PROVIDERS["cuda"] in ort.get_available_providers() else ["cpu"]
    names = list(PROVIDERS)
    return names[names.index(wanted) :]


def missing(provider: str) -> str:
    """What this machine lacks to run a provider, as far as can be seen before it starts; "" if nothing."""
    if PROVIDERS[provider] not in ort.get_available_providers():
        return f"the installed ONNX Runtime has no {PROVIDERS[provider]}: {GPU_EXTRA}"
    if provider == "cpu":
        return ""
    return "; ".join(filter(None, (_missing_driver(), _missing_library(provider))))


def open_graph(path: Path, threads: int, provider: str, precision: str) -> ort.InferenceSession:
    """Load a graph on one provider; the CPU takes what the provider leaves. Raises what ONNX Runtime raises."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Spinning makes an inference a fifth faster; between two of them threads sleep, as a robot shares its cores.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    options.log_severity_level = 4  # what does not start is reported in our words
    chosen: list[Any] = [PROVIDERS["cpu"]]
    if provider in ("cuda", "tensorrt"):
        # TF32 has the digits of float16; and no search among algorithms for each new number of robots.
        chosen.insert(0, (PROVIDERS["cuda"], {"use_tf32": "0", "cudnn_conv_algo_search": "HEURISTIC"}))
    if provider != "tensorrt":
        return ort.InferenceSession(str(path), options, providers=chosen, enable_fallback=0)
    folder = _engine_folder(path)
    folder.mkdir(parents=True, exist_ok=True)
    if precision == "fp32":
        os.environ.setdefault("NVIDIA_TF32_OVERRIDE", "0")
    chosen.insert(0, (PROVIDERS["tensorrt"], _tensorrt_options(folder, precision)))
    return ort.InferenceSession(str(path), options, providers=chosen, enable_fallback=0)


@contextlib.contextmanager
def progress(provider: str) -> Iterator[None]:
    """While TensorRT builds an engine a line in the log every ten seconds; of other providers nothing."""
    if provider != "tensorrt":
        yield
        return
    done, began = threading.Event(), time.monotonic()

    def report() -> None:
        while not done.wait(PROGRESS_S):
            LOG.warning("TensorRT builds an engine, once for each model and device: %.0f s", time.monotonic() - began)

    thread = threading.Thread(target=report, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _tensorrt_options(folder: Path, precision: str) -> dict[str, str]:
    return {
        "trt_engine_cache_enable": "1",
        "trt_engine_cache_path": str(folder),
        "trt_timing_cache_enable": "1",
        "trt_timing_cache_path": str(folder),
        "trt_fp16_enable": "1" if precision == "fp16" else "0",
        "trt_int8_enable": "1" if precision == "int8" else "0",  # scales are in the graph: no calibration table
    }


def _engine_folder(path: Path) -> Path:
    """Where the engines of a graph are kept: for this device, TensorRT and ONNX Runtime, as others cannot read them."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "midstream" / "tensorrt"
    graph = hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    return base / f"{graph}-{_device_name()}-{_tensorrt_version()}-{ort.__version__}"


def _tensorrt_version() -> str:
    try:
        return str(ctypes.CDLL(str(_library("tensorrt"))).getInferLibVersion())
    except (OSError, AttributeError):
        return "unknown"


def _device_name() -> str:
    """The name of the first GPU, in letters that a folder may have."""
    name = ctypes.create_string_buffer(100)
    try:
        driver = ctypes.CDLL("libcuda.so.1")
        driver.cuDeviceGetName(name, len(name), 0)
    except (OSError, AttributeError):
        return "unknown"
    return "".join(c if c.isalnum() else "_" for c in name.value.decode(errors="replace")) or "unknown"


def _missing_driver() -> str:
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return "the NVIDIA driver is not installed (no libcuda.so.1)"
    count = ctypes.c_int(0)
    code = driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count))
    if code or not count.value:
        return f"the NVIDIA driver finds no GPU (error {code}); `nvidia-smi` must list one"
    return ""


def _missing_library(provider: str) -> str:
    """The first shared library of CUDA or TensorRT that the provider needs and that cannot be loaded, "" if none."""
    if hasattr(ort, "preload_dlls"):
        with contextlib.redirect_stdout(io.StringIO()):  # those of pip's nvidia packages; it prints what it lacks
            ort.preload_dlls()
    try:
        ctypes.CDLL(str(_library("shared")), mode=ctypes.RTLD_GLOBAL)
        ctypes.CDLL(str(_library(provider)))
    except OSError as error:
        return f"a library is missing ({error}): install it or name its folder in LD_LIBRARY_PATH"
    return ""


def _library(name: str) -> Path:
    return Path(ort.__file__).parent / "capi" / f"libonnxruntime_providers_{name}.so"


def loaded_on(session: ort.InferenceSession) -> str:
    """The provider that a loaded graph runs on, by our name."""
    first = session.get_providers()[0]
    return next((name for name, theirs in PROVIDERS.items() if theirs == first), first)


def unreadable(path: Path, error: Exception, advice: str) -> InputError:
    """The error for a file that ONNX Runtime cannot load."""
    return InputError(
        f"{path} cannot be loaded by ONNX Runtime ({first_line(error)}); the file may be truncated: {advice}"
    )


def first_line(error: Exception) -> str:
    """What an error of ONNX Runtime says first."""
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
