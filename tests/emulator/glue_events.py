"""How Glue tells that job runs have ended, and to which queues EventBridge delivers."""

from __future__ import annotations

import json
import logging
import time
from contextvars import ContextVar
from typing import Any

from ministack.core import iam_evaluator
from ministack.core.responses import get_account_id, get_region
from ministack.services import eventbridge, glue, iam, sqs

import glue_spark
from corrections import replace, trusts_service

WITHOUT_EVENT = "--local-cloud-without-event"
"""With this argument, of a job or a run, nothing is told of its end: events are best effort."""

WORDS = {
    "SUCCEEDED": ("INFO", "Job run succeeded"),
    "FAILED": ("ERROR", "Job run failed"),
    "TIMEOUT": ("WARN", "Job run timed out"),
    "STOPPED": ("INFO", "Job run stopped"),
}
"""The states of which Glue tells, with the severity and the message."""

# What EventBridge is about to deliver to, and for which rule.
DELIVERY: ContextVar[tuple[dict, dict]] = ContextVar("DELIVERY")

logger = logging.getLogger("launcher")


def correct_state_changes() -> None:
    """Tell EventBridge of a run's end, once the API shows it, as Glue does.

    The emulator never does.
    So that all runs end in one place, a Spark job's go the way of scripts. Without
    a Spark to run them with, they still run nothing.
    """

    def execute(run: dict, job: dict, arguments: dict[str, str], script: str) -> None:
        is_told = arguments.pop(WITHOUT_EVENT, None) is None
        if is_spark_job(job) and not glue_spark.HOME:
            run["CompletedOn"] = int(time.time())
            run["JobRunState"] = "SUCCEEDED"
        else:
            original(run, job, arguments, script)
        if is_told and run["JobRunState"] in WORDS:
            tell(run)

    is_spark_job = replace(glue, "_is_spark_job", lambda job: False)
    original = replace(glue, "_execute_subprocess", execute)


def tell(run: dict) -> None:
    severity, message = WORDS[run["JobRunState"]]
    detail = {
        "jobName": run["JobName"],
        "severity": severity,
        "state": run["JobRunState"],
        "jobRunId": run["Id"],
        "message": run["ErrorMessage"] or message,
    }
    entry = {
        "Source": "aws.glue",
        "DetailType": "Glue Job State Change",
        "Detail": json.dumps(detail),
    }
    eventbridge._put_events({"Entries": [entry]}, allow_aws_source=True)


def correct_queues_of_other_accounts() -> None:
    """Deliver to a queue of another account, in the same region, what the target's role may send.

    EventBridge does; the emulator takes the target and delivers nothing.
    """

    def invoke(target: dict, event: dict, rule: dict, *rest: Any) -> None:
        delivery = DELIVERY.set((target, rule))
        try:
            original_invoke(target, event, rule, *rest)
        finally:
            DELIVERY.reset(delivery)

    def is_reached(spec: Any) -> bool:
        if original_is_reached(spec) or spec.service != "sqs" or spec.region != get_region():
            return original_is_reached(spec)
        target, rule = DELIVERY.get()
        refusal = refusal_of(target.get("RoleArn") or "", rule["Arn"], target["Arn"])
        if refusal:
            logger.warning("`%s` does not reach `%s`: %s", rule["Arn"], target["Arn"], refusal)
        return refusal is None

    original_invoke = replace(eventbridge, "_invoke_target", invoke)
    original_is_reached = replace(eventbridge, "_target_matches_request_scope", is_reached)


def correct_policies_of_queues() -> None:
    """Deliver to a queue of the rule's own account only what the queue's policy admits.

    EventBridge comes as itself, for the rule, where the target has no role; the emulator does not
    ask the policy.
    """

    def invoke(target: dict, event: dict, rule: dict, *rest: Any) -> None:
        arn, account = target.get("Arn", ""), get_account_id()
        is_of_the_account = arn.startswith("arn:aws:sqs:") and arn.split(":")[4] == account
        if is_of_the_account and not target.get("RoleArn"):
            service = "events.amazonaws.com"
            if not sqs.queue_policy_allows(arn, service, rule["Arn"], account):
                logger.warning("`%s` does not reach `%s`: the queue's policy", rule["Arn"], arn)
                return
        original(target, event, rule, *rest)

    original = replace(eventbridge, "_invoke_target", invoke)


def refusal_of(role_arn: str, rule_arn: str, queue_arn: str) -> str | None:
    """Why the role may not send for the rule to the queue; nothing if it may."""
    account = get_account_id()
    name = role_arn.rsplit("/", 1)[-1]
    role = iam._roles.get_scoped(account, None, name)
    if role is None or role["Arn"] != role_arn:
        return f"there is no role `{role_arn}`"
    if not trusts_service(role, "events.amazonaws.com", account, rule_arn):
        return f"`{role_arn}` does not admit EventBridge for the rule"
    found = sqs.queue_policy_for_arn(queue_arn)
    if found is None:
        return "there is no such queue"
    context = iam_evaluator.EvalContext(
        principal_arn=f"arn:aws:sts::{account}:assumed-role/{name}/events",
        principal_type="AssumedRole",
        principal_account=account,
        action="sqs:SendMessage",
        resource_arn=queue_arn,
        region=get_region(),
        secure_transport=True,
    )
    policies = iam_evaluator._gather_role_policies(name, account)
    limits = iam_evaluator._permissions_boundary(iam._roles, name, account)
    own = iam_evaluator.evaluate(context, policies, *limits)
    if own.decision != "Allow":
        return f"the policy of `{role_arn}` does not allow it"
    both = iam_evaluator.combine_resource_policy(own, context, *found, limits=limits)
    if both.decision != "Allow":
        return f"the queue's policy does not allow it to `{role_arn}`"
    return None
