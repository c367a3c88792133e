//! Compares this machine's clock with AWS's, by the `Date` header of AWS's answers. Other
//! invocations compare leases with their own clocks, so a clock that is off is reported before it
//! does harm.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use aws_sdk_dynamodb::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::context::{
    BeforeDeserializationInterceptorContextRef, BeforeTransmitInterceptorContextRef,
};
use aws_smithy_types::config_bag::{Storable, StoreReplace};
use aws_smithy_types::date_time::{DateTime, Format};

use crate::clock::{milliseconds, system_time};

/// Half of what two clocks may differ by: another clock may be as far off in the other direction.
const MAX_OFF: Duration = Duration::from_secs(5);

/// The shortest time between two warnings.
const EVERY: Duration = Duration::from_secs(15 * 60);

/// Checks the answers to a client. Clones share the time of the last warning.
#[derive(Debug, Clone, Default)]
pub(crate) struct ClockCheck {
    /// When the last warning was logged, in milliseconds since 1970.
    warned_at: Arc<AtomicU64>,
}

/// When an attempt was sent, by this machine's clock.
#[derive(Debug)]
struct Sent(SystemTime);

impl Storable for Sent {
    type Storer = StoreReplace<Self>;
}

impl Intercept for ClockCheck {
    fn name(&self) -> &'static str {
        "ClockCheck"
    }

    fn read_before_transmit(
        &self,
        _: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        cfg: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        cfg.interceptor_state().store_put(Sent(system_time()));
        Ok(())
    }

    fn read_after_transmit(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        cfg: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let date = context.response().headers().get("date");
        let date = date.and_then(|date| DateTime::from_str(date, Format::HttpDate).ok());
        let date = date.and_then(|date| SystemTime::try_from(date).ok());
        if let (Some(date), Some(Sent(sent))) = (date, cfg.load::<Sent>()) {
            self.compare(*sent, system_time(), date);
        }
        Ok(())
    }
}

impl ClockCheck {
    fn compare(&self, sent: SystemTime, received: SystemTime, date: SystemTime) {
        let off = off_by(sent, received, date);
        if off <= MAX_OFF {
            return;
        }
        let now = milliseconds(received);
        let warned_at = self.warned_at.swap(now, Ordering::Relaxed);
        if warned_at == 0 || Duration::from_millis(now.abs_diff(warned_at)) >= EVERY {
            tracing::warn!(
                code = "clock_off",
                seconds = off.as_secs(),
                "the clock differs from AWS's by more than {} seconds",
                MAX_OFF.as_secs()
            );
        } else {
            self.warned_at.store(warned_at, Ordering::Relaxed);
        }
    }
}

/// Returns the least by which the clock is off: AWS wrote `date`, which has whole seconds only,
/// between the two moments.
fn off_by(sent: SystemTime, received: SystemTime, date: SystemTime) -> Duration {
    let behind = date.duration_since(received).unwrap_or_default();
    let ahead = sent.duration_since(date + Duration::from_secs(1)).unwrap_or_default();
    behind.max(ahead)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_off_by_what_no_time_on_the_way_explains() {
        let at = |secs: u64| SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000 + secs);
        let off = |sent, received, date| off_by(at(sent), at(received), at(date)).as_secs();
        assert_eq!((off(0, 0, 0), off(0, 10, 4), off(0, 600, 300)), (0, 0, 0));
        // The first clock is behind AWS's, and the second ahead of it.
        assert_eq!((off(0, 2, 9), off(9, 12, 0)), (7, 8));
    }
}
