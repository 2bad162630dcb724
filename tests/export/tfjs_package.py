"""Builds TensorFlow.js for Node against the libraries of TensorFlow's wheel.

The package's own install script would download an older TensorFlow.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.export.test_c_api import TF_FOLDER

PACKAGE = "@tensorflow/tfjs-node"
VERSION = "4.22.0"
# Node's interface for compiled modules, which is the same in all later versions of Node.
NODE_API = 8
# What the build looks for, and what the wheel has.
LINKS = {
    "include": "include",
    "lib/libtensorflow.so": "libtensorflow_cc.so.2",
    "lib/libtensorflow_cc.so.2": "libtensorflow_cc.so.2",
    "lib/libtensorflow_framework.so": "libtensorflow_framework.so.2",
    "lib/libtensorflow_framework.so.2": "libtensorflow_framework.so.2",
}


class Unavailable(Exception):
    """This machine cannot build the package; the message says why."""


def build(folder):
    """Installs and compiles the package, unless that has been done.

    Args:
        folder: A folder that is created if it is missing.

    Returns:
        The folder that Node needs as `NODE_PATH`.

    Raises:
        Unavailable: A program, Node's headers or the package cannot be had.
        subprocess.CalledProcessError: The package does not compile.
    """
    for program in ("node", "npm", "make", "g++"):
        if shutil.which(program) is None:
            raise Unavailable(f"there is no {program}")
    modules = folder / "node_modules"
    package = modules / PACKAGE
    if not _has_version(package):
        _install(folder)
    links_are_new = _link(package / "deps")
    binding = package / "lib" / f"napi-v{NODE_API}" / "tfjs_binding.node"
    if links_are_new or not binding.exists():
        _compile(folder, binding.parent)
    return modules


def _has_version(package):
    try:
        return json.loads((package / "package.json").read_text())["version"] == VERSION
    except FileNotFoundError:
        return False


def _install(folder):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "package.json").write_text('{"private": true}\n')
    command = ["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "--no-save"]
    command += ["--fetch-retries=1", f"{PACKAGE}@{VERSION}"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        reason, *_ = done.stderr.strip().splitlines() or ["npm gave no reason"]
        raise Unavailable(f"npm cannot install {PACKAGE}: {reason}")


def _link(deps):
    """Links to the wheel's files, and returns whether a link is new."""
    new = False
    for name, target in LINKS.items():
        link = deps / name
        if link.is_symlink() and Path(os.readlink(link)) == TF_FOLDER / target:
            continue
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(TF_FOLDER / target)
        new = True
    return new


def _compile(folder, output):
    """Compiles with the node-gyp that npm brings along."""
    command = ["node", "-p", "path.dirname(path.dirname(fs.realpathSync(process.execPath)))"]
    prefix = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    if not Path(prefix, "include", "node", "node_api.h").exists():
        raise Unavailable(f"there are no headers of Node in {prefix}/include/node")
    options = {
        "nodedir": prefix,
        "python": sys.executable,
        "module_name": "tfjs_binding",
        "module_path": output,
        "napi_version": NODE_API,
        "napi_build_version": NODE_API,
    }
    command = ["npm", "explore", PACKAGE, "--", "node-gyp", "rebuild", "--silent"]
    command += [f"--{name}={value}" for name, value in options.items()]
    subprocess.run(command, cwd=folder, check=True)
