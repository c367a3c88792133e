"""Makes sessions of a role last only seconds, because tests can't wait for AWS's 15 minutes.

Set `LOCAL_CLOUD_SHORT_SESSIONS=ROLE=SECONDS`, with the role's name without a path.
"""

from __future__ import annotations

import os
from typing import Any

from ministack.services import sts

from corrections import replace


def correct_length_of_sessions() -> None:
    """Ends the role's sessions that soon, whatever the request says, and reports them as expired.

    The emulator forgets an expired session once another begins, and then knows no such key.
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
