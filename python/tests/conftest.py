"""Fixtures for the tests of the job library."""

from __future__ import annotations

import pytest

from staging import Stage


@pytest.fixture
def stage(staged: Stage, monkeypatch: pytest.MonkeyPatch) -> Stage:
    """The module's stage, in which the test acts as the job."""
    staged.act_as_job(monkeypatch)
    return staged
