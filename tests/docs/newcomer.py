"""Does what the guides say, as a newcomer does.

`python -m tests.docs.newcomer` builds a wheel, installs it outside the checkout, and runs every
block of `docs/guides/*.md`: those of a page one after the other, each in a process of its own, in a
folder that is empty at first, and two pages at a time. It prints a row for each block and ends with
an error if one failed.
"""

import argparse
import itertools
import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.docs.guide_blocks import CHECKOUT, GUIDES, blocks

# Much of a block's time is a single thread's.
PAGES_AT_ONCE = 2
COMMANDS = {"python": ["python", "-"], "sh": ["bash", "-euo", "pipefail", "-s"]}


def install(folder):
    """Installs a wheel of the checkout in a new virtual environment, and returns its `bin`."""
    pip = ["-m", "pip", "--disable-pip-version-check", "--quiet"]
    subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
    python = folder / "venv" / "bin" / "python"
    # The one that comes with Python may be too old for addresses such as git+file:///folder.
    subprocess.run([python, *pip, "install", "--upgrade", "pip"], check=True)
    source = folder / "source"
    # A build leaves files in the folder that it builds from.
    subprocess.run(["git", "clone", "--quiet", CHECKOUT, source], check=True)
    wheels = folder / "wheels"
    subprocess.run([python, *pip, "wheel", "--no-deps", "-w", wheels, source], check=True)
    (wheel,) = wheels.glob("*.whl")
    constraints = ["-c", CHECKOUT / "constraints.txt"]
    package = f"{wheel}[demo,eval,jax,search,serve,studies,t5]"
    subprocess.run([python, *pip, "install", *constraints, package], check=True)
    subprocess.run([python, *pip, "install", *constraints, "--no-deps", "t5"], check=True)
    return python.parent


def run_page(page, environment):
    """Runs the blocks of a page, prints a row for each, and returns the number of failures."""
    failures = 0
    with tempfile.TemporaryDirectory() as folder:
        for block in blocks(page):
            if block.language not in COMMANDS:
                continue
            if "curl " in block.code and shutil.which("curl") is None:
                print(f"{page.name}:{block.line} is left out: there is no curl")
                continue
            start = time.monotonic()
            done = subprocess.run(
                COMMANDS[block.language],
                input=block.code,
                cwd=folder,
                env=environment,
                text=True,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
            )
            seconds = time.monotonic() - start
            result = "ok" if done.returncode == 0 else f"exit status {done.returncode}"
            place = f"{page.name}:{block.line}"
            print(f"{place:<36}{block.language:<8}{seconds:>6.0f} s  {result}", flush=True)
            if done.returncode:
                failures += 1
                print(done.stdout[-4000:], flush=True)
    return failures


def main():
    """Runs all guides, or those whose names are given."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("guides", nargs="*", help="names such as fit.md; default: all")
    parser.add_argument("--bin", type=Path, help="folder of an installed `primer`, to test with it")
    arguments = parser.parse_args()
    pages = [page for page in GUIDES if not arguments.guides or page.name in arguments.guides]
    if arguments.bin:
        print("install.md is left out: it would change the installation that --bin names")
        pages = [page for page in pages if page.name != "install.md"]
    with tempfile.TemporaryDirectory() as folder:
        bin_folder = arguments.bin or install(Path(folder))
        environment = {
            k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")
        }
        environment["PATH"] = f"{bin_folder.absolute()}:{environment['PATH']}"
        environment["REPOSITORY"] = CHECKOUT.as_uri()
        # It changes what the others use.
        alone = [page for page in pages if page.name == "install.md"]
        failures = sum(run_page(page, environment) for page in alone)
        others = [page for page in pages if page not in alone]
        with ThreadPoolExecutor(PAGES_AT_ONCE) as pool:
            failures += sum(pool.map(run_page, others, itertools.repeat(environment)))
    if failures:
        sys.exit(f"{failures} blocks failed")


if __name__ == "__main__":
    main()
