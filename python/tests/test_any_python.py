"""The library runs in other versions of Python, with the boto3 that Glue has in each.

Each Python on PATH or in pyenv's folders runs `any_python.py`. The packages that it needs are
installed once for each set of versions, beside the environment of the tests.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

import landfall

HERE = Path(__file__).parent
LIBRARY = Path(landfall.__file__).parent
EXAMPLES = LIBRARY.parent / "examples"
MINORS = range(7, 15)

# The other packages that all of them need, in the last versions that support Python 3.7.
COMMON = {"python-dateutil": "2.9.0.post0", "six": "1.17.0", "urllib3": "1.26.20"}
GLUE_3_0 = {
    **COMMON,
    "boto3": "1.18.50",
    "botocore": "1.21.65",
    "fsspec": "2021.8.1",
    "jmespath": "0.10.0",
    "s3transfer": "0.5.2",
}
PYTHON_SHELL = {
    **COMMON,
    "boto3": "1.21.21",
    "botocore": "1.24.46",
    "fsspec": "2022.3.0",
    "jmespath": "1.0.1",
    "s3transfer": "0.5.2",
}
NEWEST = {name: importlib.metadata.version(name) for name in GLUE_3_0}
"""The versions that the other tests use."""


def versions(minor: int) -> dict[str, str]:
    """Returns what Glue 3.0 has for Python 3.7, and Python shell for 3.9.

    Any other Python gets the oldest of these sets that runs there.
    """
    if minor in (9, 10):
        return PYTHON_SHELL
    return GLUE_3_0 if minor < 12 else NEWEST


def find_python(minor: int) -> str | None:
    """Returns a Python 3.`minor` of this machine."""
    name = f"python3.{minor}"
    found = [sys.executable] if sys.version_info[:2] == (3, minor) else []
    found += [str(Path(folder) / name) for folder in os.get_exec_path()]
    for root in os.environ.get("PYENV_ROOT", "~/.pyenv"), "/opt/pyenv":
        versions = Path(root).expanduser() / "versions"
        found += [str(path) for path in sorted(versions.glob(f"3.{minor}.*/bin/{name}"))]
    code = "import ctypes, ssl, sys; print(sys.version_info[1])"
    for path in found:
        if not os.access(path, os.X_OK):
            continue
        # A program of pyenv on PATH may stand for a Python that isn't selected.
        done = subprocess.run([path, "-c", code], capture_output=True, text=True, check=False)
        if done.returncode == 0 and done.stdout.strip() == str(minor):
            return path
    return None


def installed(minor: int) -> Path:
    """Returns a folder with only these packages, which have the same files for every Python."""
    pins = sorted(f"{name}=={version}" for name, version in versions(minor).items())
    digest = hashlib.sha256("\n".join(pins).encode()).hexdigest()[:16]
    folder = Path(sys.prefix).parent / f"packages-{digest}"
    if folder.exists():
        return folder
    with tempfile.TemporaryDirectory(dir=folder.parent) as made:
        target = Path(made) / "packages"
        install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-input"]
        exact = ["--no-deps", "--no-compile", "--only-binary", ":all:"]
        place = ["--python-version", f"3.{minor}", "--target", str(target)]
        subprocess.run(
            [*install, "--disable-pip-version-check", *exact, *place, *pins],
            check=True,
            timeout=300,
        )
        try:
            target.rename(folder)
        except OSError:
            if not folder.exists():  # Otherwise another process was faster.
                raise
    return folder


@pytest.mark.parametrize("minor", MINORS, ids=[f"3.{minor}" for minor in MINORS])
def test_a_job_runs_in_any_python_that_the_library_is_for(minor: int, tmp_path: Path) -> None:
    python = find_python(minor)
    if python is None:
        pytest.skip(f"there is no Python 3.{minor} on this machine")
    library = tmp_path / "library"
    shutil.copytree(LIBRARY, library / "landfall", ignore=shutil.ignore_patterns("__pycache__"))
    ended = subprocess.run(
        [python, "-B", "-S", str(HERE / "any_python.py")],
        env={
            "PYTHONPATH": f"{installed(minor)}{os.pathsep}{library}",
            "AWS_ACCESS_KEY_ID": "AKIAOFTHEJOB",
            "AWS_SECRET_ACCESS_KEY": "secret-of-the-job",
            "AWS_CONFIG_FILE": str(tmp_path / "nowhere"),
            "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "nowhere"),
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout) == [[3, minor], versions(minor)["boto3"]]
    # The jobs need packages that aren't installed, so this only checks that Python can parse them.
    for script in sorted(EXAMPLES.glob("*.py")):
        code = "import sys; compile(open(sys.argv[1]).read(), sys.argv[1], 'exec')"
        subprocess.run([python, "-I", "-c", code, str(script)], check=True, timeout=60)
