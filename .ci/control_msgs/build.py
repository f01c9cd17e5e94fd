"""control_msgs for an environment that has rclpy from PyPI: its two actions, generated and compiled.

    .venv-dev/bin/python .ci/control_msgs/build.py        needs gcc, g++ and the headers of Python

PyPI has no control_msgs. The definitions beside this file are those of control_msgs 5.8.0 (Jazzy), unchanged; the
rosidl generators, which come with rclpy, make code of them. A ROS install has the package: nothing is done there.
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

NAME = "control_msgs"
HERE = Path(__file__).parent
PREFIX = Path(sys.prefix)
SITE = Path(sysconfig.get_paths()["purelib"])
SUPPORTS = ["rosidl_typesupport_fastrtps_c", "rosidl_typesupport_introspection_c"]  # that Fast DDS asks for
DEPENDENCIES = ["action_msgs", "builtin_interfaces", "geometry_msgs", "service_msgs", "std_msgs", "trajectory_msgs"]
DEPENDENCIES += ["unique_identifier_msgs"]


def main() -> None:
    """Build what is not there yet."""
    if importlib.util.find_spec(NAME):
        return
    if importlib.util.find_spec("rosidl_generator_py") is None:
        return  # no ROS here
    if not (shutil.which("gcc") and shutil.which("g++")):
        print("no gcc and g++: control_msgs is not built, and tests that need it are skipped")
        return
    os.environ["AMENT_PREFIX_PATH"] = str(PREFIX)
    with tempfile.TemporaryDirectory() as work:
        with contextlib.redirect_stdout(io.StringIO()):  # the generators name every file
            generate(Path(work))
        compile_all(Path(work))


def generate(work: Path) -> None:
    """Definitions -> C and Python sources: work/<generator>/control_msgs."""
    from rosidl_cli.command.hash.api import generate_type_hashes
    from rosidl_generator_c.cli import GenerateC

    files = []
    for definition in sorted([*HERE.glob("msg/*.msg"), *HERE.glob("action/*.action")]):
        kind = definition.parent.name
        convert = getattr(import_module(f"rosidl_adapter.{kind}"), f"convert_{kind}_to_idl")
        (work / "idl" / kind).mkdir(parents=True, exist_ok=True)
        convert(HERE, NAME, definition.relative_to(HERE), work / "idl" / kind)
        files.append(f"{work / 'idl'}:{kind}/{definition.stem}.idl")
    share, c = [str(PREFIX / "share")], work / "rosidl_generator_c" / NAME
    described = generate_type_hashes(package_name=NAME, interface_files=files, include_paths=share, output_path=c)
    for kind in ("msg", "action"):  # one after the other: the generator takes files of one name for one type
        mine, of_kind = [f for f in files if f":{kind}/" in f], [d for d in described if Path(d).parent.name == kind]
        GenerateC("c").generate(NAME, mine, share, output_path=c, type_description_files=of_kind)
    for module, kind, options in (
        ("rosidl_generator_py", "GeneratePython", {"typesupport_implementations": ["rosidl_typesupport_c", *SUPPORTS]}),
        ("rosidl_typesupport_c", "GenerateCTypesupport", {"typesupport_implementations": SUPPORTS}),
        (SUPPORTS[0], "GenerateFastRTPSCTypesupport", {}),
        (SUPPORTS[1], "GenerateIntrospectionCTypesupport", {}),
    ):
        generator = getattr(import_module(f"{module}.cli"), kind)(module, **options)
        generator.generate(NAME, files, share, output_path=work / module / NAME)


def compile_all(work: Path) -> None:
    """Sources -> a Python package in the environment's site-packages: one extension module holds all compiled code."""
    modules = ("rosidl_generator_c", "rosidl_generator_py", "rosidl_typesupport_c", *SUPPORTS)
    sources = [path for module in modules for path in sorted((work / module).rglob("*.c*")) if ".ep." not in path.name]
    sources.append(work / "rosidl_generator_py" / NAME / f"_{NAME}_s.ep.rosidl_typesupport_c.c")
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
    libraries = [path for name in DEPENDENCIES for kind in kinds if (path := library(f"{name}__{kind}")).exists()]
    libraries += [library(name) for name in ("rosidl_runtime_c", "rosidl_typesupport_c", *SUPPORTS, "rmw", "rcutils")]
    libraries += [path for path in (PREFIX / "lib").glob("libfastcdr.so*")][:1]
    package = work / "rosidl_generator_py" / NAME
    extension = package / f"{NAME}_s__rosidl_typesupport_c{sysconfig.get_config_var('EXT_SUFFIX')}"
    link = ["g++", "-shared", "-o", str(extension), *map(str, objects), *map(str, libraries)]
    subprocess.run([*link, f"-Wl,-rpath,{PREFIX / 'lib'}"], check=True)
    for source in package.rglob("*.c"):
        source.unlink()
    (package / "__init__.py").touch()
    shutil.copy(HERE / "LICENSE", package)
    shutil.copytree(package, SITE / NAME)
    shutil.copytree(HERE / "msg", PREFIX / "share" / NAME / "msg", dirs_exist_ok=True)  # a recorder reads them
    for support in SUPPORTS:  # looked up at run time by these names
        library(f"{NAME}__{support}").unlink(missing_ok=True)
        library(f"{NAME}__{support}").symlink_to(SITE / NAME / extension.name)


def library(name: str) -> Path:
    """A library of the environment."""
    return PREFIX / "lib" / f"lib{name}.so"


if __name__ == "__main__":
    main()
