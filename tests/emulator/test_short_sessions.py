"""Short sessions say how long they last, then expire, and only one role has them."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from emulator import DATA, LAUNCHER, Emulator, allow, role, running, trust, wait_until

ANYBODY_HERE = trust(Principal={"AWS": f"arn:aws:iam::{DATA}:root"})


def code_of(emulator: Emulator, session: dict[str, str]) -> str:
    """Returns S3's answer to a session that lists buckets."""
    try:
        emulator.client("s3", DATA, **session).list_buckets()
    except ClientError as error:
        return error.response["Error"]["Code"]
    return ""


def test_the_named_roles_sessions_expire_so_soon_and_others_do_not(tmp_path: Path) -> None:
    with running(LAUNCHER, tmp_path, LOCAL_CLOUD_SHORT_SESSIONS="short=3") as emulator:
        for name in "short", "long":
            role(emulator, DATA, name, ANYBODY_HERE, allow("s3:*"), path="/somewhere/")
        long = emulator.session_of(DATA, "long")
        short = emulator.session_of(DATA, "short")
        assert code_of(emulator, short) == ""
        assert wait_until(lambda: code_of(emulator, short)) == "ExpiredToken"
        # A new session doesn't make the emulator forget this one.
        again = emulator.session_of(DATA, "short")
        assert code_of(emulator, short) == "ExpiredToken"
        assert code_of(emulator, again) == code_of(emulator, long) == ""


@pytest.mark.parametrize("requested", [900, 3600])
def test_the_answer_says_when_the_session_ends(tmp_path: Path, requested: int) -> None:
    with running(LAUNCHER, tmp_path, LOCAL_CLOUD_SHORT_SESSIONS="short=30") as emulator:
        arn = role(emulator, DATA, "short", ANYBODY_HERE)
        answer = emulator.client("sts", DATA).assume_role(
            RoleArn=arn, RoleSessionName="someone", DurationSeconds=requested
        )
        left = answer["Credentials"]["Expiration"] - datetime.now(UTC)
        assert 0 < left.total_seconds() <= 30
