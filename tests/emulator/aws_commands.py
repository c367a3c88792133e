"""Runs commands of the AWS command line as `aws` does, each in a fork of this one process.

    python tests/emulator/aws_commands.py SOCKET

The end-to-end tests run about five hundred commands. `aws` itself needs most of a second of CPU
time for each, nearly all of it to import its modules and to read the services' models. A fork has
both, and needs some hundredths of a second.

A connection sends a line with a JSON object that has `arguments`, `variables` (the whole
environment) and `folder` (the current one). It gets back one with `status`, `stdout` and `stderr`.
"""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import sys
import tempfile
import traceback
from typing import Any

from awscli import clidriver

# The services whose models the forks share. Commands of others read them themselves.
SERVICES = [
    "cloudformation",
    "cloudwatch",
    "dynamodb",
    "events",
    "glue",
    "iam",
    "lambda",
    "logs",
    "s3",
    "sqs",
    "sts",
]


def main(path: str) -> None:
    driver = clidriver.create_clidriver()
    for service in SERVICES:
        driver.session.create_client(
            service, "us-east-1", aws_access_key_id="none", aws_secret_access_key="none"
        )
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # Nobody waits for the forks.
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen(64)
        while True:
            connection, _ = server.accept()
            if os.fork() == 0:
                try:
                    answer(driver, connection)
                finally:
                    os._exit(0)
            connection.close()


def answer(driver: clidriver.CLIDriver, connection: socket.socket) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    random.seed()
    with connection, connection.makefile("rwb") as stream:
        result = run(driver, **json.loads(stream.readline()))
        stream.write(json.dumps(result).encode())


def run(
    driver: clidriver.CLIDriver, arguments: list[str], variables: dict[str, str], folder: str
) -> dict[str, Any]:
    """Runs one command in this process, whose output, environment and folder it changes."""
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(variables)
    driver.session._config = driver.session._profile_map = None  # They came from our environment.
    with tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr:
        os.dup2(stdout.fileno(), 1)
        os.dup2(stderr.fileno(), 2)
        try:
            status = driver.main(arguments)
        except SystemExit as end:
            status = end.code
        except BaseException:
            traceback.print_exc()
            status = 1
        sys.stdout.flush()
        sys.stderr.flush()
        for file in (stdout, stderr):
            file.seek(0)
        return {
            "status": status or 0,
            "stdout": stdout.read().decode(errors="replace"),
            "stderr": stderr.read().decode(errors="replace"),
        }


if __name__ == "__main__":
    main(sys.argv[1])
