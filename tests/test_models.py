"""Models are found by path and by name, from the checkout, a pip installation and a colcon workspace."""

import sysconfig
from pathlib import Path

import pytest

from policy.errors import InputError
from policy.running import models
from policy.running.models import find_model

ROOT = Path(__file__).parent.parent


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder outside the checkout, no colcon workspace."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.delenv("AMENT_PREFIX_PATH", raising=False)
    return folder


@pytest.mark.parametrize("name", ["tabletop", "models/tabletop", Path("models/tabletop")])
def test_the_checkout_s_model_is_found_from_any_folder(name: str | Path) -> None:
    assert find_model(name) == ROOT / "models" / "tabletop"


def test_a_path_that_exists_comes_before_a_name(elsewhere: Path) -> None:
    own = elsewhere / "models" / "tabletop"
    own.mkdir(parents=True)
    assert find_model("models/tabletop").samefile(own)
    assert find_model(own) == own


def test_a_pip_installation_s_model_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "__file__", str(tmp_path / "site-packages" / "policy" / "running" / "models.py"))
    monkeypatch.setattr(sysconfig, "get_path", lambda name, scheme="venv": str(tmp_path / scheme))
    for scheme in (sysconfig.get_preferred_scheme("user"), "venv"):  # the environment's own comes first
        folder = tmp_path / scheme / "share" / "midstream" / "models" / "tabletop"
        folder.mkdir(parents=True)
        assert find_model("tabletop") == folder


def test_a_colcon_workspace_s_model_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AMENT_PREFIX_PATH", f"{tmp_path / 'empty'}:{tmp_path / 'install' / 'midstream'}")
    folder = tmp_path / "install" / "midstream" / "share" / "midstream" / "models" / "mine"
    folder.mkdir(parents=True)
    assert find_model("models/mine") == folder


def test_an_unknown_model_lists_where_it_was_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AMENT_PREFIX_PATH", str(tmp_path / "workspace"))
    with pytest.raises(InputError) as error:
        find_model("models/nowhere")
    for folder in (Path.cwd() / "models", ROOT / "models", tmp_path / "workspace" / "share" / "midstream" / "models"):
        assert str(folder / "nowhere") in str(error.value)


@pytest.mark.parametrize("path", ["runs/models/tabletop", "/models/tabletop", "../models/tabletop"])
def test_any_other_path_is_no_name(path: str) -> None:
    with pytest.raises(InputError, match="no model folder"):
        find_model(path)
