"""Fixtures for all tests. Everything that tests write goes into one folder, removed at the end."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import hypothesis.configuration
import pytest

from emulator import LAUNCHER, PLAIN, REGION, Emulator, running

scratch = tempfile.TemporaryDirectory(prefix="landfall-tests-", ignore_cleanup_errors=True)


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    config.option.basetemp = config.option.basetemp or Path(scratch.name) / "pytest"
    hypothesis.configuration.set_hypothesis_home_dir(Path(scratch.name) / "hypothesis")
    # A busy machine makes any example slow.
    hypothesis.settings.register_profile("no-deadline", deadline=None)
    hypothesis.settings.load_profile("no-deadline")


def pytest_unconfigure() -> None:
    scratch.cleanup()


@pytest.fixture(autouse=True)
def _in_a_region_and_with_no_credentials_of_this_machine(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    nowhere = tmp_path_factory.getbasetemp() / "nowhere"
    for name, value in {
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ACCESS_KEY_ID": "AKIAOFTHEJOB",
        "AWS_SECRET_ACCESS_KEY": "secret-of-the-job",
        "AWS_CONFIG_FILE": str(nowhere),
        "AWS_SHARED_CREDENTIALS_FILE": str(nowhere),
    }.items():
        monkeypatch.setenv(name, value)
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def launched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    """The emulator with the launcher's corrections. Tests share it and use names of their own."""
    with running(LAUNCHER, tmp_path_factory.mktemp("launched")) as emulator:
        yield emulator


@pytest.fixture(scope="session")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    """The emulator without corrections."""
    with running(PLAIN, tmp_path_factory.mktemp("plain")) as emulator:
        yield emulator
