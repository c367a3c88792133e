"""What the tests write goes into one folder, and the folder goes with them."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import hypothesis.configuration
import pytest

from emulator import LAUNCHER, Emulator, running

scratch = tempfile.TemporaryDirectory(prefix="landfall-tests-", ignore_cleanup_errors=True)


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    config.option.basetemp = config.option.basetemp or Path(scratch.name) / "pytest"
    hypothesis.configuration.set_hypothesis_home_dir(Path(scratch.name) / "hypothesis")


def pytest_unconfigure() -> None:
    scratch.cleanup()


@pytest.fixture(scope="session")
def launched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    """The emulator with the launcher's corrections; tests share it, under names of their own."""
    with running(LAUNCHER, tmp_path_factory.mktemp("launched")) as emulator:
        yield emulator
