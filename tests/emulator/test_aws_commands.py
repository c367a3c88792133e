"""A command that runs in a fork does what `aws` does."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from emulator import wait_until

AWS = [sys.executable, "-c", "from awscli.clidriver import main; raise SystemExit(main())"]


@pytest.fixture(scope="module")
def commands(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("aws") / "socket"
    program = Path(__file__).parent / "aws_commands.py"
    with subprocess.Popen([sys.executable, str(program), str(path)]) as process:
        try:
            wait_until(path.exists)
            yield path
        finally:
            process.terminate()


def run(commands: Path, variables: dict[str, str], folder: Path, *arguments: str) -> dict[str, Any]:
    request = {"arguments": arguments, "variables": variables, "folder": str(folder)}
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(commands))
        with connection.makefile("rwb") as stream:
            stream.write(json.dumps(request).encode() + b"\n")
            stream.flush()
            return json.loads(stream.read())


@pytest.mark.parametrize(
    "arguments",
    [
        ["configure", "list-profiles"],
        ["configure", "get", "region"],
        ["configure", "get", "output"],
        ["cloudformation", "package", "--template-file", "none.yaml", "--s3-bucket", "b"],
        ["no-such-service"],
    ],
)
def test_a_command_ends_and_prints_as_aws_does(
    commands: Path, tmp_path: Path, arguments: list[str]
) -> None:
    (tmp_path / "config").write_text("[default]\nregion = us-east-2\n[profile é]\n")
    variables = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "LANG": "C.UTF-8",
        "AWS_CONFIG_FILE": "config",
    }
    expected = subprocess.run(
        [*AWS, *arguments], env=variables, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    found = run(commands, variables, tmp_path, *arguments)
    assert found["status"] == expected.returncode
    assert found["stdout"] == expected.stdout
    assert found["stderr"].split()[-3:] == expected.stderr.split()[-3:]
