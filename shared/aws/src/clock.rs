//! The process's clock: all code gets the time, and waits, through this module.
//!
//! A simulation brings its own clock, and the code that it runs uses that time: see [`under`].

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::future::{Either, select};
use landfall_core::moment::{Moment, Time};

/// This long after its time-out, a function is certainly gone, by every other clock as well.
const CLOCKS_DIFFER: Duration = Duration::from_secs(10);

/// A clock that is not the system's.
pub trait Clock: Send + Sync {
    /// Returns the time now.
    fn now(&self) -> SystemTime;
    /// Waits for `duration`, in this clock's time.
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>>;
}

tokio::task_local! {
    static CLOCK: Arc<dyn Clock>;
}

/// Runs `future` with `clock` instead of the system's clock.
pub async fn under<F: Future>(clock: Arc<dyn Clock>, future: F) -> F::Output {
    CLOCK.scope(clock, future).await
}

/// Returns the time now, as a `SystemTime`.
pub fn system_time() -> SystemTime {
    CLOCK.try_with(|clock| clock.now()).unwrap_or_else(|_| SystemTime::now())
}

/// Returns the time now, as the core's type.
pub fn now() -> Time {
    Time(milliseconds(system_time()))
}

/// Returns the current moment of an invocation that ends at `deadline`.
pub fn moment(deadline: SystemTime) -> Moment {
    let lease = Time(milliseconds(deadline + CLOCKS_DIFFER));
    Moment { now: now(), lease, jitter: fastrand::u16(0..1000) }
}

/// Returns `true` if work that may take `needed` can finish before `deadline`.
pub fn has_time(deadline: SystemTime, needed: Duration) -> bool {
    left(deadline) >= needed
}

/// Returns the time until `deadline`; zero if it has passed.
pub fn left(deadline: SystemTime) -> Duration {
    deadline.duration_since(system_time()).unwrap_or_default()
}

/// Returns `true` if `duration` has passed since `time`.
pub fn has_passed(time: SystemTime, duration: Duration) -> bool {
    system_time().duration_since(time).is_ok_and(|since| since >= duration)
}

/// Waits for `duration`.
pub async fn sleep(duration: Duration) {
    match CLOCK.try_with(|clock| clock.sleep(duration)) {
        Ok(sleep) => sleep.await,
        Err(_) => tokio::time::sleep(duration).await,
    }
}

/// Returns the output of `future`, or `None` if it takes longer than `limit`.
pub async fn within<F: Future>(limit: Duration, future: F) -> Option<F::Output> {
    match select(pin!(future), pin!(sleep(limit))).await {
        Either::Left((output, _)) => Some(output),
        Either::Right(_) => None,
    }
}

/// Returns the milliseconds since 1970.
pub fn milliseconds(time: SystemTime) -> u64 {
    milliseconds_of(time.duration_since(UNIX_EPOCH).unwrap_or_default())
}

/// Returns a duration in whole milliseconds.
pub fn milliseconds_of(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
