//! STS: `AssumeRole`, and `GetCallerIdentity`, which always returns the same caller.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use crate::call::Answer;

/// What STS does.
#[derive(Debug, Clone, Copy, Default)]
pub enum Sts {
    #[default]
    Grants,
    /// Grants sessions that are valid this long.
    GrantsFor(Duration),
    /// Grants one session that is valid this long, and no second.
    GrantsOnce(Duration),
    Denies,
    /// Refuses the request, and repeats the external ID in the message.
    RepeatsExternalId,
}

#[derive(Debug, Default)]
pub(crate) struct StsState {
    pub(crate) behaviour: Sts,
    /// The number of sessions that were requested.
    requested: usize,
}

impl StsState {
    pub(crate) fn serve(&mut self, operation: &str, form: &Value, now: SystemTime) -> Answer {
        let error = |status, code, message: &str| Answer::error("sts", status, code, message);
        if operation == "GetCallerIdentity" {
            return Answer::result(
                operation,
                "<Arn>arn:aws:sts::111111111111:assumed-role/admin/ada</Arn><UserId>AROAX:ada</UserId>\
                 <Account>111111111111</Account>",
            );
        }
        if operation != "AssumeRole" {
            return error(400, "InvalidAction", "the stand-in does not know it");
        }
        // Each session has an access key of its own, as on AWS.
        let number = self.requested;
        self.requested += 1;
        let valid = match self.behaviour {
            Sts::Grants => Duration::from_secs(3_600),
            Sts::GrantsFor(valid) => valid,
            Sts::GrantsOnce(valid) if number == 0 => valid,
            Sts::GrantsOnce(_) => return error(400, "RegionDisabledException", "not any more"),
            Sts::Denies => {
                return error(403, "AccessDenied", "not authorized to perform: sts:AssumeRole");
            }
            Sts::RepeatsExternalId => {
                let id = form["ExternalId"].as_str().unwrap_or_default();
                let message = format!("Value '{id}' at 'externalId' failed to satisfy constraint");
                return error(400, "ValidationError", &message);
            }
        };
        let expiration = timestamp(now + valid);
        Answer::xml(
            200,
            format!(
                "<AssumeRoleResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\
                 <AssumeRoleResult><Credentials><AccessKeyId>ASIA{number}</AccessKeyId>\
                 <SecretAccessKey>secret</SecretAccessKey><SessionToken>token</SessionToken>\
                 <Expiration>{expiration}</Expiration></Credentials></AssumeRoleResult>\
                 </AssumeRoleResponse>"
            ),
        )
    }
}

/// Formats a time, as in `2026-01-31T00:00:00Z`.
fn timestamp(time: SystemTime) -> String {
    let seconds = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    // Years begin in March, so that a leap day is the last day of its year, and are grouped in eras
    // of 400 years (Howard Hinnant, `civil_from_days`).
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_are_those_of_the_calendar() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_767_225_599, "2025-12-31T23:59:59Z"),
            (1_772_323_200, "2026-03-01T00:00:00Z"),
        ] {
            assert_eq!(timestamp(UNIX_EPOCH + Duration::from_secs(seconds)), text);
        }
    }
}
