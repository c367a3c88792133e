"""Glue's events about ended job runs, and EventBridge's delivery to queues."""

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
"""If a job or a run has this argument, its end sends no event: Glue's events are best effort."""

WORDS = {
    "SUCCEEDED": ("INFO", "Job run succeeded"),
    "FAILED": ("ERROR", "Job run failed"),
    "TIMEOUT": ("WARN", "Job run timed out"),
    "STOPPED": ("INFO", "Job run stopped"),
}
"""The states that Glue sends events about, with each event's severity and message."""

# The target that EventBridge is about to deliver to, and the rule.
DELIVERY: ContextVar[tuple[dict, dict]] = ContextVar("DELIVERY")

logger = logging.getLogger("launcher")


def correct_state_changes() -> None:
    """Sends an event to EventBridge when a run ends and the API shows it, as Glue does.

    The emulator never sends one. So that all runs end in one place, runs of Spark jobs take the
    same path as scripts. If there is no Spark to run them with, they still run nothing.
    """

    def execute(run: dict, job: dict, arguments: dict[str, str], script: str) -> None:
        sends_event = arguments.pop(WITHOUT_EVENT, None) is None
        if is_spark_job(job) and not glue_spark.HOME:
            run["CompletedOn"] = int(time.time())
            run["JobRunState"] = "SUCCEEDED"
        else:
            original(run, job, arguments, script)
        if sends_event and run["JobRunState"] in WORDS:
            send_event(run)

    is_spark_job = replace(glue, "_is_spark_job", lambda job: False)
    original = replace(glue, "_execute_subprocess", execute)


def send_event(run: dict) -> None:
    """Sends EventBridge the event that Glue sends about the run's state."""
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
    """Delivers to another account's queue in the same region, if the target's role may send there.

    EventBridge does that. The emulator accepts the target and delivers nothing.
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
    """Delivers to a queue of the rule's own account only if the queue's policy admits it.

    If the target has no role, EventBridge sends as itself, for the rule. The emulator doesn't check
    the policy.
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
    """Returns why the role may not send to the queue for the rule, or `None` if it may."""
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
