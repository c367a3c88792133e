"""The claim of a batch. It lets one run at a time have effects, and keeps that run's outcome."""

from __future__ import annotations

import secrets
import time
from datetime import datetime, timezone
from typing import Any

import boto3

from landfall._arguments import TABLE_ARN, Arguments
from landfall._errors import FAILURES, ClaimError, code, printable, refusal

_NONCE = secrets.token_hex(16)
# Distinguishes this process from any other that was started with the same arguments.

_CLAIM_KEPT_SECONDS = 400 * 86_400
# As long as the ledger remembers arrivals (ARRIVALS_KEPT). When a claim expires, the ledger has
# forgotten the batch's arrivals, so nothing starts the batch again. The table's time to live
# removes the claim.

_MAX_NAME = 200  # Characters of an error type's name. A longer one doesn't belong in an item.

_FREE_OR_MINE = (
    "(attribute_not_exists(#ended) OR #ended < :epoch)"
    " AND (attribute_not_exists(#holder) OR #holder = :mine OR #epoch <= #ended)"
)
# `#epoch <= #ended` says that the holder's epoch has ended. It is false if there is no `#ended`.

_STILL_MINE = "#holder = :mine AND (attribute_not_exists(#ended) OR #ended < :epoch)"


def claim(batch: Arguments, session: boto3.session.Session) -> bool:
    """Claims the batch. Returns False if this process must leave without having any effect.

    Guaranteed: of all runs that were ever started for a batch, at most one process holds the batch
    at a time. The next one can hold it only after Landfall has recorded that the holder's epoch has
    ended. A run of an ended epoch gets False, however late its request arrives. Calling it again is
    harmless and checks again. It is also harmless that boto3 repeats a request with a lost answer.

    Not guaranteed: that the work is done once. If a run fails halfway, the batch's next run holds
    the claim and starts from the beginning, so it must replace the earlier outputs. Nor does a
    claim outlive its process. A script that is started again with the same arguments gets False;
    `refuse_repetition` tells that case from the others.

    Raises ClaimError if there is no answer, or if the role or the table denies access.
    """
    return _update(
        batch,
        session,
        _what_claim(batch),
        UpdateExpression=(
            "SET #holder = :mine, #epoch = :epoch, #claimed_at = :now, #expires = :expires"
            " REMOVE #fenced_at, #outcome, #outcome_at, #error"
        ),
        ConditionExpression=_FREE_OR_MINE,
        names=(
            *("holder", "epoch", "claimed_at", "ended", "expires"),
            *("fenced_at", "outcome", "outcome_at", "error"),
        ),
        values={
            ":mine": {"S": _mine(batch)},
            ":epoch": {"N": str(batch.epoch)},
            ":now": {"S": _now()},
            ":expires": {"N": str(int(time.time()) + _CLAIM_KEPT_SECONDS)},
        },
    )


def refuse_repetition(batch: Arguments, session: boto3.session.Session) -> None:
    """Raises ClaimError if another process of this run's epoch holds the batch.

    Call it after `claim` has returned False. If the job's MaxRetries isn't 0, Glue repeats a failed
    run with the same arguments, and so with the same epoch. The first process's claim says nothing
    of the work of the second, and may belong to executors that outlived it, so the second process
    gets no claim. It must not succeed either: the run would then pass for the success of the epoch
    that holds the claim. If it fails, Landfall ends the epoch and starts the batch again.

    It changes nothing in the claim. It is a write all the same, because the reader role of an older
    stack may do no more, and because it must see the claim's last state.
    """
    what = _what_claim(batch)
    if _update(
        batch,
        session,
        what,
        UpdateExpression="SET #epoch = #epoch",
        ConditionExpression=(
            "#epoch = :epoch AND #holder <> :mine"
            " AND (attribute_not_exists(#ended) OR #ended < :epoch)"
        ),
        names=("holder", "epoch", "ended"),
        values={":mine": {"S": _mine(batch)}, ":epoch": {"N": str(batch.epoch)}},
    ):
        raise ClaimError(
            f"{what}: an earlier process of the same start has claimed it; Glue repeats a run if "
            "the job's `MaxRetries` is not 0, so set it to 0: Landfall starts the batch again"
        )


def fence(batch: Arguments, session: boto3.session.Session) -> bool:
    """Returns True if this process still holds the batch, False if it must have no more effects.

    Guaranteed: when the table answered, no other run had been able to claim the batch. The fence is
    a write, so the table orders it with the monitor's write that ends an epoch. Not guaranteed:
    that this is still so when the effects appear. Calling it again is harmless.

    Raises ClaimError if there is no answer, or if the role or the table denies access.
    """
    return _update(
        batch,
        session,
        f"failed to check the claim of batch `{printable(batch.batch_id)}` "
        f"in table `{batch.claims_table}`",
        UpdateExpression="SET #fenced_at = :now",
        ConditionExpression=_STILL_MINE,
        names=("holder", "ended", "fenced_at"),
        values={
            ":mine": {"S": _mine(batch)},
            ":epoch": {"N": str(batch.epoch)},
            ":now": {"S": _now()},
        },
    )


def record(
    batch: Arguments, session: boto3.session.Session, error: type[BaseException] | None
) -> None:
    """Records in the claim how the work ended, for people. Landfall goes by Glue's run state.

    It records only the type's name of an error, because the message can hold data. Raises
    ClaimError if there is no answer, or if this process no longer holds the batch.
    """
    what = (
        f"failed to record the outcome of batch `{printable(batch.batch_id)}` "
        f"in table `{batch.claims_table}`"
    )
    values = {
        ":mine": {"S": _mine(batch)},
        ":outcome": {"S": "failed" if error else "succeeded"},
        ":now": {"S": _now()},
    }
    if error:
        values[":error"] = {"S": error.__name__[:_MAX_NAME]}
    held = _update(
        batch,
        session,
        what,
        UpdateExpression="SET #outcome = :outcome, #outcome_at = :now"
        + (", #error = :error" if error else " REMOVE #error"),
        ConditionExpression="#holder = :mine",
        names=("holder", "outcome", "outcome_at", "error"),
        values=values,
    )
    if not held:
        raise ClaimError(f"{what}: another run has claimed it in the meantime")


def _what_claim(batch: Arguments) -> str:
    return f"failed to claim batch `{printable(batch.batch_id)}` in table `{batch.claims_table}`"


def _mine(batch: Arguments) -> str:
    return f"{batch.epoch}#{_NONCE}"


def _now() -> str:
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def _update(
    batch: Arguments,
    session: boto3.session.Session,
    what: str,
    names: tuple[str, ...],
    values: dict[str, Any],
    **expressions: str,
) -> bool:
    """Updates the claim. Returns False if the condition did not hold."""
    found = TABLE_ARN.fullmatch(batch.claims_table)
    if not found:
        raise ClaimError(f"{what}: not the ARN of a table")
    # By its name, because only newer versions of boto3 accept an ARN. That finds the right table,
    # because the reader role is in the table's account.
    region, _, table = found.groups()
    try:
        session.client("dynamodb", region_name=region).update_item(
            TableName=table,
            Key={"batch_id": {"S": batch.batch_id}},
            ExpressionAttributeNames={f"#{name}": name for name in names},
            ExpressionAttributeValues=values,
            **expressions,
        )
    except FAILURES as error:
        if code(error) == "ConditionalCheckFailedException":
            return False
        why = refusal(error, batch.reader_role, "dynamodb:UpdateItem")
        raise ClaimError(f"{what}: {why}") from error
    return True
