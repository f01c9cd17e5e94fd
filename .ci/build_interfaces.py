"""Interface packages for an environment that has rclpy from PyPI: generated and compiled.

    .venv-dev/bin/python .ci/build_interfaces.py        needs gcc, g++ and the headers of Python

control_msgs      PyPI has none; the definitions in .ci/control_msgs are those of 5.8.0 (Jazzy), unchanged
midstream_msgs    ours; a ROS workspace builds it by colcon

The rosidl generators, which come with rclpy, make code of the definitions. A package that ROS has is left alone; one
that was built here is built again where its definitions have changed.
"""

import contextlib
import importlib.util
import io
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path

HERE = Path(__file__).parent
PACKAGES = {"control_msgs": HERE / "control_msgs", "midstream_msgs": HERE.parent / "midstream_msgs"}
KINDS = ("msg", "action")
PREFIX = Path(sys.prefix)
SITE = Path(sysconfig.get_paths()["purelib"])
SUPPORTS = ["rosidl_typesupport_fastrtps_c", "rosidl_typesupport_introspection_c"]  # that Fast DDS asks for
DEPENDENCIES = ["action_msgs", "builtin_interfaces", "geometry_msgs", "service_msgs", "std_msgs", "trajectory_msgs"]
DEPENDENCIES += ["unique_identifier_msgs"]


def main() -> None:
    """Build what is not there yet."""
    if importlib.util.find_spec("rosidl_generator_py") is None:
        return  # no ROS here
    for name, folder in PACKAGES.items():
        if installed(name) and not outdated(name, folder):
            continue
        if not (shutil.which("gcc") and shutil.which("g++")):
            print(f"no gcc and g++: {name} is not built, and tests that need it are skipped")
            continue
        os.environ["AMENT_PREFIX_PATH"] = str(PREFIX)
        with tempfile.TemporaryDirectory() as work:
            with contextlib.redirect_stdout(io.StringIO()):  # the generators name every file
                generate(name, folder, Path(work))
            compile_all(name, folder, Path(work))


def installed(name: str) -> bool:
    """Whether a package can be imported; a folder of definitions beside this file is none."""
    spec = importlib.util.find_spec(name)
    return spec is not None and spec.origin is not None


def definitions(folder: Path) -> list[Path]:
    """The files that define the types of a package."""
    return [path for kind in KINDS for path in sorted((folder / kind).glob(f"*.{kind}"))]


def outdated(name: str, folder: Path) -> bool:
    """Whether a package was built here, from other definitions."""
    built = PREFIX / "share" / name
    return (SITE / name).is_dir() and any(
        not (copy := built / path.relative_to(folder)).is_file() or copy.read_bytes() != path.read_bytes()
        for path in definitions(folder)
    )


def generate(name: str, folder: Path, work: Path) -> None:
    """Definitions -> C and Python sources: work/<generator>/<name>."""
    from rosidl_cli.command.hash.api import generate_type_hashes
    from rosidl_generator_c.cli import GenerateC

    files = []
    for definition in definitions(folder):
        kind = definition.parent.name
        convert = getattr(import_module(f"rosidl_adapter.{kind}"), f"convert_{kind}_to_idl")
        (work / "idl" / kind).mkdir(parents=True, exist_ok=True)
        convert(folder, name, definition.relative_to(folder), work / "idl" / kind)
        files.append(f"{work / 'idl'}:{kind}/{definition.stem}.idl")
    share, c = [str(PREFIX / "share")], work / "rosidl_generator_c" / name
    described = generate_type_hashes(package_name=name, interface_files=files, include_paths=share, output_path=c)
    for kind in KINDS:  # one after the other: the generator takes files of one name for one type
        mine, of_kind = [f for f in files if f":{kind}/" in f], [d for d in described if Path(d).parent.name == kind]
        if mine:
            GenerateC("c").generate(name, mine, share, output_path=c, type_description_files=of_kind)
    for module, kind, options in (
        ("rosidl_generator_py", "GeneratePython", {"typesupport_implementations": ["rosidl_typesupport_c", *SUPPORTS]}),
        ("rosidl_typesupport_c", "GenerateCTypesupport", {"typesupport_implementations": SUPPORTS}),
        (SUPPORTS[0], "GenerateFastRTPSCTypesupport", {}),
        (SUPPORTS[1], "GenerateIntrospectionCTypesupport", {}),
    ):
        generator = getattr(import_module(f"{module}.cli"), kind)(module, **options)
        generator.generate(name, files, share, output_path=work / module / name)


def compile_all(name: str, folder: Path, work: Path) -> None:
    """Sources -> a Python package in the environment's site-packages: one extension module holds all compiled code."""
    modules = ("rosidl_generator_c", "rosidl_generator_py", "rosidl_typesupport_c", *SUPPORTS)
    sources = [path for module in modules for path in sorted((work / module).rglob("*.c*")) if ".ep." not in path.name]
    sources.append(work / "rosidl_generator_py" / name / f"_{name}_s.ep.rosidl_typesupport_c.c")
    headers = [work / module for module in modules] + [PREFIX / "include", *(PREFIX / "include").iterdir()]
    headers += [Path(sysconfig.get_paths()["include"]), Path(import_module("numpy").get_include())]
    flags = ["-O1", "-fPIC", "-w", *(f"-I{path}" for path in headers)]
    objects = [work / f"{i}.o" for i in range(len(sources))]

    def compile_one(source: Path, built: Path) -> None:
        compiler = ["g++", "-std=c++17"] if source.suffix == ".cpp" else ["gcc", "-std=c11"]
        subprocess.run([*compiler, *flags, "-c", str(source), "-o", str(built)], check=True)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(compile_one, sources, objects))
    kinds = ("rosidl_generator_c", "rosidl_generator_py", "rosidl_typesupport_c", *SUPPORTS)
    libraries = [path for other in DEPENDENCIES for kind in kinds if (path := library(f"{other}__{kind}")).exists()]
    libraries += [library(part) for part in ("rosidl_runtime_c", "rosidl_typesupport_c", *SUPPORTS, "rmw", "rcutils")]
    libraries += [path for path in (PREFIX / "lib").glob("libfastcdr.so*")][:1]
    package = work / "rosidl_generator_py" / name
    extension = package / f"{name}_s__rosidl_typesupport_c{sysconfig.get_config_var('EXT_SUFFIX')}"
    link = ["g++", "-shared", "-o", str(extension), *map(str, objects), *map(str, libraries)]
    subprocess.run([*link, f"-Wl,-rpath,{PREFIX / 'lib'}"], check=True)
    for source in package.rglob("*.c"):
        source.unlink()
    (package / "__init__.py").touch()
    shutil.rmtree(SITE / name, ignore_errors=True)
    shutil.copytree(package, SITE / name)
    for path in [*definitions(folder), *folder.glob("LICENSE")]:  # a recorder reads the definitions
        copy = PREFIX / "share" / name / path.relative_to(folder)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy)
    for support in SUPPORTS:  # looked up at run time by these names
        library(f"{name}__{support}").unlink(missing_ok=True)
        library(f"{name}__{support}").symlink_to(SITE / name / extension.name)


def library(name: str) -> Path:
    """A library of the environment."""
    return PREFIX / "lib" / f"lib{name}.so"


if __name__ == "__main__":
    main()
