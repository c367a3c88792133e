"""The claim of a batch: of its runs, one at a time has effects. And what became of that one."""

from __future__ import annotations

import secrets
import time
from datetime import datetime, timezone
from typing import Any

import boto3

from landfall._arguments import TABLE_ARN, Arguments
from landfall._errors import FAILURES, ClaimError, code, printable, refusal

_NONCE = secrets.token_hex(16)
# Tells this process from any other that was started with the same arguments.

_CLAIM_KEPT_SECONDS = 400 * 86_400
# As long as the ledger remembers arrivals (ARRIVALS_KEPT): a claim that expires is that of a batch
# whose arrivals are forgotten by then. The table's time to live takes it.

_MAX_NAME = 200  # A name of an error's type; of more, an item would be no place.

_FREE_OR_MINE = (
    "(attribute_not_exists(#ended) OR #ended < :epoch)"
    " AND (attribute_not_exists(#holder) OR #holder = :mine OR #epoch <= #ended)"
)
# The second `#epoch` is the holder's: it has ended. Without `#ended`, that comparison is false.

_STILL_MINE = "#holder = :mine AND (attribute_not_exists(#ended) OR #ended < :epoch)"


def claim(batch: Arguments, session: boto3.session.Session) -> bool:
    """Claim the batch: True if this process holds it now, False if it must leave without effect.

    Guaranteed: among all runs that were ever started for a batch, one process at most holds it at a
    time, and the next can only once Landfall has recorded that the holder's epoch has ended. A run
    of such an epoch gets False, however late its request arrives. To call it again is harmless, and
    asks anew; so is the repetition of a request whose answer was lost, as boto3 does it.

    Not guaranteed: that the work is done once. When a run fails halfway, the batch's next run holds
    the claim and starts from the beginning, so outputs must be such that it replaces them. Nor does
    a claim outlive its process: a script that is started again with the same arguments gets False,
    which is why the job's own MaxRetries must be 0.

    Raises ClaimError when there is no answer, or the role or the table refuses.
    """
    what = f"failed to claim batch `{printable(batch.batch_id)}` in table `{batch.claims_table}`"
    return _update(
        batch,
        session,
        what,
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


def fence(batch: Arguments, session: boto3.session.Session) -> bool:
    """Ask whether this process still holds the batch: False if it must have no effect any more.

    Guaranteed: when the table answered, no other run could have claimed the batch yet. It is a
    write, so it is ordered with the monitor's that ends an epoch. Not guaranteed: that this stays
    so until the effects are there. To call it again is harmless.

    Raises ClaimError when there is no answer, or the role or the table refuses.
    """
    return _update(
        batch,
        session,
        f"failed to learn whether batch `{printable(batch.batch_id)}` is still held, "
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
    """Note in the claim how the work ended, for people: Glue's state of the run is what counts.

    Of an error that is the name of its type; its message can hold data. Raises ClaimError when
    there is no answer, and when this process does not hold the batch any more.
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
        raise ClaimError(f"{what}: another run has claimed it since")


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
    """Whether the condition held."""
    found = TABLE_ARN.fullmatch(batch.claims_table)
    if not found:
        raise ClaimError(f"{what}: not the ARN of a table")
    # By its name: only a newer boto3 takes the ARN. The reader role is of the table's account.
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
