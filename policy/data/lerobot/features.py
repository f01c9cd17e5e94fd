"""The features of a data set that a contract's robot fills, as meta/info.json names them and as parquet holds them."""

import json
from collections.abc import Mapping
from typing import Any

from policy.data.lerobot.files import PIXELS
from policy.data.lerobot.layout import ACTION, IMAGES, OURS, SCALARS, STATE
from policy.data.lerobot.packages import package
from policy.errors import InputError
from policy.robot.contract import Contract

VIDEO = {
    "video.codec": "h264",
    "video.pix_fmt": PIXELS,
    "video.is_depth_map": False,
    "video.channels": 3,
    "has_audio": False,
}


def features(contract: Contract, video: bool) -> dict[str, dict[str, Any]]:
    """Name -> dtype, shape and names, in the order of the columns; `InputError` for what the format cannot hold."""
    spec, found = contract.spec, dict[str, dict[str, Any]]()
    if contract.rate != round(contract.rate):
        raise InputError(f"the contract's rate is {contract.rate:g} Hz, and LeRobot's fps is a whole number; change it")
    for name, camera in contract.cameras.items():
        if camera.depth:
            raise InputError(
                f"the camera {name} gives depth, and pictures of LeRobot data sets are RGB of 8 bits; leave it out of "
                "the contract"
            )
        if video and (camera.height % 2 or camera.width % 2):
            raise InputError(
                f"the camera {name} has {camera.width}x{camera.height} pixels, and H.264 takes even numbers; "
                "write PNG, without --video"
            )
        one: dict[str, Any] = {"dtype": "image", "shape": list(camera.shape), "names": ["height", "width", "channels"]}
        if video:
            size = {"video.height": camera.height, "video.width": camera.width, "video.fps": round(contract.rate)}
            one |= {"dtype": "video", "info": size | VIDEO}
        found[f"{IMAGES}{name}"] = one
    for name, names in ((STATE, spec.state), (ACTION, spec.action)):
        found[name] = {"dtype": "float32", "shape": [len(names)], "names": list(names)}
    for name, dtype in OURS.items():
        found[name] = {"dtype": dtype, "shape": [1], "names": None}
    for name in SCALARS:
        found[name] = {"dtype": "float32" if name == "timestamp" else "int64", "shape": [1], "names": None}
    return found


def schema(named: Mapping[str, Mapping[str, Any]]) -> Any:
    """The columns of the data files, all features but videos, described for Hugging Face's viewers, too."""
    arrow = package("pyarrow")
    columns, viewed = [], dict[str, Any]()
    for name, of in named.items():
        dtype, width = of["dtype"], of["shape"][0]
        if dtype == "image":
            columns.append((name, arrow.struct([("bytes", arrow.binary()), ("path", arrow.string())])))
            viewed[name] = {"_type": "Image"}
        elif dtype != "video":
            one = arrow.type_for_alias(dtype)
            columns.append((name, one if width == 1 else arrow.list_(one, width)))
            value = {"dtype": dtype, "_type": "Value"}
            viewed[name] = value if width == 1 else {"feature": value, "length": width, "_type": "List"}
    return arrow.schema(columns, {"huggingface": json.dumps({"info": {"features": viewed}})})
