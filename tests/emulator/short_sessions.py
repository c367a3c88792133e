"""Sessions of a role that last seconds, where tests cannot wait the quarter of an hour that is the
least in AWS: with `LOCAL_CLOUD_SHORT_SESSIONS=ROLE=SECONDS`, ROLE its name without a path.
"""

from __future__ import annotations

import os
from typing import Any

from ministack.services import sts

from corrections import replace


def correct_length_of_sessions() -> None:
    """Let sessions of the role end so soon, whatever was asked for, and be known as expired then.

    The emulator forgets them once another session begins, and then knows no such key.
    """
    setting = os.environ.get("LOCAL_CLOUD_SHORT_SESSIONS", "")
    if not setting:
        return
    role, _, seconds = setting.rpartition("=")

    def parameter(parameters: dict, name: str, *default: Any) -> Any:
        value = original(parameters, name, *default)
        if name != "DurationSeconds" or original(parameters, "RoleArn").rsplit("/", 1)[-1] != role:
            return value
        return str(min(int(value or 3600), int(seconds)))

    original = replace(sts, "_p", parameter)
    replace(sts, "_evict_expired_sessions", lambda: None)
