//! The checks of how often a bucket is listed for what S3 never announced.

use std::time::Duration;

use super::batch::choice;
use super::buckets::has_form_of_bucket;
use crate::at::At;
use crate::batch::LISTED_FROM_AGE;
use crate::dates::DatePrefix;
use crate::inventory::InventoryPlace;
use crate::pattern::Pattern;
use crate::routes::{Reconcile, written};

const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);

const LOOK_BACK: Duration = Duration::from_secs(3 * 86_400);

/// Returns what is valid for a route with this bucket and key, and reports the problems of the rest.
pub(crate) fn resolve(
    written: &written::Reconcile,
    bucket: Option<&str>,
    key: Option<&Pattern>,
    at: &mut At<'_>,
) -> Option<Reconcile> {
    for (field, is_missing) in
        [("every", written.every.is_none()), ("action", written.action.is_none())]
    {
        if is_missing {
            at.missing(field);
        }
    }
    let hint = "`start`: put what is missed into batches; `report`: only say so";
    let action = choice("action", written.action.as_ref(), hint, at);
    let every = period("every", written.every.as_ref(), None, (HOUR, 30 * DAY), "1h to 30d", at);
    let grace = written.grace.as_ref();
    let grace =
        period("grace", grace, Some(LISTED_FROM_AGE), (LISTED_FROM_AGE, 7 * DAY), "1h to 7d", at);
    let look_back = written.look_back.as_ref();
    let look_back =
        period("look_back", look_back, Some(LOOK_BACK), (HOUR, 90 * DAY), "1h to 90d", at);
    let inventory = inventory(written.inventory.as_deref(), bucket, at);
    let prune_by_date = prune_by_date(written.prune_by_date.as_deref(), key, at);
    if inventory.is_some() && prune_by_date.is_some() {
        let hint = "an inventory is read as a whole: leave one of them out";
        at.key("prune_by_date").error("`prune_by_date` is for listing the bucket", hint);
    }
    let (every, look_back, grace) = (every?, look_back?, grace?);
    let reconcile = Reconcile { every, look_back, grace, action, inventory, prune_by_date };
    if reconcile.look_back < reconcile.every + reconcile.grace {
        let message = "`look_back` is shorter than `every` and `grace` together";
        let hint = "objects between two passes would be missed for good: make it longer";
        at.key("look_back").error(message, hint);
        return None;
    }
    Some(reconcile)
}

fn inventory(
    written: Option<&str>,
    bucket: Option<&str>,
    at: &mut At<'_>,
) -> Option<InventoryPlace> {
    let (written, bucket) = (written?, bucket?);
    let place = InventoryPlace::parse(written, bucket).filter(|it| has_form_of_bucket(&it.bucket));
    if place.is_none() {
        let message =
            format!("`{}` isn't where inventories of the bucket are", written.escape_debug());
        let hint = format!(
            "S3 writes them to `s3://BUCKET/[PREFIX/]{bucket}/ID/`, where ID is the name of their configuration"
        );
        at.key("inventory").error(message, hint);
    }
    place
}

fn prune_by_date(
    written: Option<&str>,
    key: Option<&Pattern>,
    at: &mut At<'_>,
) -> Option<DatePrefix> {
    let (written, key) = (written?, key?);
    let (beginning, _) = key.literal_ends();
    let prefix = DatePrefix::parse(written).filter(|it| it.beginning().starts_with(&beginning));
    if prefix.is_none() {
        let message = format!("`{}` isn't a beginning of keys with a date", written.escape_debug());
        let hint = format!(
            "begin with `{beginning}`, and write each of `{{yyyy}}`, `{{mm}}` and `{{dd}}` once: `{beginning}{{yyyy}}-{{mm}}-{{dd}}/`"
        );
        at.key("prune_by_date").error(message, hint);
    }
    prefix
}

/// Returns the length of time of a field. Reports one that isn't within these bounds.
fn period(
    field: &str,
    written: Option<&written::Period>,
    default: Option<Duration>,
    (least, most): (Duration, Duration),
    bounds: &str,
    at: &mut At<'_>,
) -> Option<Duration> {
    let Some(written) = written else { return default };
    let length = written.seconds().map(Duration::from_secs);
    match length {
        Some(length) if (least..=most).contains(&length) => Some(length),
        Some(_) => {
            at.key(field).error(format!("`{field}` is out of range"), format!("use {bounds}"));
            None
        }
        None => {
            let hint = "write a number and s, m, h or d: 90m, 1h, 1d";
            at.key(field).error(format!("`{}` is not a length of time", written.0), hint);
            None
        }
    }
}
