"""Functions that the emulator's corrections share."""

from __future__ import annotations

import json
import os
from types import ModuleType
from typing import Any

from ministack.core import iam_evaluator
from ministack.core.responses import get_region

MINUTE = float(os.environ.get("LOCAL_CLOUD_MINUTE_SECONDS") or 60)
"""The seconds that a minute of schedules and alarms lasts."""


def replace(module: ModuleType, name: str, function: Any) -> Any:
    """Replaces a function of the module with `function`, and returns the original."""
    original = getattr(module, name)  # Raises an error if the emulator no longer has it.
    setattr(module, name, function)
    return original


def trusts_service(role: dict, service: str, account: str, source: str) -> bool:
    """Returns True if the role's trust policy admits a service that acts for `source`.

    `source` is an ARN of `account`. Only the statements that name the service count. The emulator
    has no such check: it takes any trusted service for the root of the account.
    """
    policy = json.loads(role["AssumeRolePolicyDocument"])
    statements = policy["Statement"]
    statements = [statements] if isinstance(statements, dict) else statements
    its = [
        statement
        for statement in statements
        if iam_evaluator._service_principal_matches(statement.get("Principal"), service)
    ]
    root = f"arn:aws:iam::{account}:root"
    context = iam_evaluator.EvalContext(
        principal_arn=root,
        principal_type="Root",
        principal_account=account,
        action="sts:AssumeRole",
        resource_arn=role["Arn"],
        region=get_region(),
        service_context={"aws:sourceaccount": account, "aws:sourcearn": source},
    )
    return iam_evaluator.evaluate_trust_policy({**policy, "Statement": its}, root, context)
