"""LeRobot data sets for tests: written from bags, made foreign, damaged."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from policy.convert import convert
from policy.data.cache import Cache
from policy.data.windows import targets
from policy.robot.contract import Contract
from tests import small
from tests.demo_bag import CONTRACT

DATA, EPISODES = "data/chunk-000/file-000.parquet", "meta/episodes/chunk-000/file-000.parquet"
PARALLEL = ("state", "actions", "stamps", "mode", "episode", "bounds", "incomplete", "until", "recording")


def written(bags: Path, out: Path, contract: Contract, video: bool = False) -> Path:
    convert(bags, out, contract, video=video)
    return out


def edited(data: Path, change: Callable[[Any], Any], file: str = DATA) -> Path:
    """The data set with a parquet table replaced by `change(table)`."""
    import pyarrow.parquet as pq

    pq.write_table(change(pq.read_table(data / file)), data / file)
    return data


def column(data: Path, name: str, change: Callable[[np.ndarray], np.ndarray], file: str = DATA) -> Path:
    """The data set with a column of numbers or vectors changed."""
    import pyarrow as pa

    def replaced(table: Any) -> Any:
        at, values = table.column_names.index(name), change(np.array(table.column(name).to_pylist()))
        return table.set_column(at, table.field(at), pa.array(values.tolist(), table.field(at).type))

    return edited(data, replaced, file)


def described(data: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    """The data set with another meta/info.json."""
    path = data / "meta" / "info.json"
    info = json.loads(path.read_text())
    change(info)
    path.write_text(json.dumps(info))
    return data


def foreign(data: Path) -> Path:
    """As another program writes it: without our columns."""

    def without(info: dict[str, Any]) -> None:
        info["features"] = {name: of for name, of in info["features"].items() if not name.startswith("midstream.")}

    described(data, without)
    return edited(data, lambda t: t.select([n for n in t.column_names if not n.startswith("midstream.")]))


def assert_same(one: Cache, other: Cache, pictures: bool = True, atol: float = 0) -> None:
    """Two caches hold the same, bit for bit, and give the same targets, these up to `atol`."""
    for name in PARALLEL:
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)
        assert getattr(one, name).dtype == getattr(other, name).dtype
    assert (one.contact is None) == (other.contact is None)
    if one.contact is not None and other.contact is not None:
        np.testing.assert_array_equal(one.contact, other.contact)
    np.testing.assert_array_equal(one.returns, other.returns)
    for name in ("instructions", "tasks", "sources"):
        assert getattr(one, name) == getattr(other, name), name
    for name in one.images if pictures else ():
        np.testing.assert_array_equal(one.images[name][:], other.images[name][:], err_msg=name)
    (a, mask), (b, masked) = (targets(cache, cache.contract.horizon) for cache in (one, other))
    np.testing.assert_array_equal(mask, masked)
    np.testing.assert_allclose(a[mask], b[mask], rtol=0, atol=atol, err_msg="targets")


@pytest.fixture(scope="module")
def bags(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three episodes and a switch with rollback and advance; pictures of noise."""
    return small.switches(tmp_path_factory.mktemp("bags"))


@pytest.fixture(scope="module")
def made(bags: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(bags, tmp_path_factory.mktemp("made") / "set", CONTRACT)


@pytest.fixture
def data(made: Path, tmp_path: Path) -> Path:
    """A copy that a test may change."""
    return Path(shutil.copytree(made, tmp_path / "set"))
