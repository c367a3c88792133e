//! Time that passes only when nobody has anything to do.
//!
//! tokio can pause its clock, but that needs a feature with which the functions would be compiled
//! too, because the workspace has one set of features. The simulation only needs to wait, so this
//! file suffices.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, SystemTime};

use aws_sdk_glue::config::{AsyncSleep, Sleep};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use landfall_aws::clock::Clock;

type Task = Pin<Box<dyn Future<Output = ()>>>;

thread_local! {
    /// Tasks that were spawned and must run. A simulation stays on its thread.
    static BEGUN: RefCell<Vec<Task>> = const { RefCell::new(Vec::new()) };
}

/// The time of a simulation, and the tasks that run in it.
#[derive(Clone, Default)]
pub struct Timeline(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    now: Duration,
    timers: BTreeMap<(Duration, u64), Waker>,
    timers_made: u64,
}

impl fmt::Debug for Timeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.elapsed())
    }
}

impl Timeline {
    /// Returns the time since the simulation began.
    pub fn elapsed(&self) -> Duration {
        self.lock().now
    }

    pub fn sleep(&self, duration: Duration) -> Sleeping {
        let until = self.elapsed() + duration;
        Sleeping { timeline: self.clone(), until, timer: None }
    }

    /// Runs `main`, and everything that is spawned in the meantime.
    ///
    /// # Panics
    /// Every task waits, and none of them for a time.
    pub fn run<T>(&self, main: impl Future<Output = T>) -> T {
        let woken = Arc::new(Woken(AtomicBool::new(false)));
        let waker = Waker::from(Arc::clone(&woken));
        let mut context = Context::from_waker(&waker);
        let mut tasks = FuturesUnordered::new();
        let mut main = pin!(main);
        BEGUN.take();
        loop {
            if let Poll::Ready(value) = main.as_mut().poll(&mut context) {
                return value;
            }
            tasks.extend(BEGUN.take());
            while let Poll::Ready(Some(())) = tasks.poll_next_unpin(&mut context) {}
            let is_idle =
                BEGUN.with_borrow(Vec::is_empty) && !woken.0.swap(false, Ordering::Relaxed);
            if is_idle {
                let next = self.lock().pass();
                next.expect("at least one task waits for a time").wake();
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().expect("no thread panics with the lock")
    }
}

impl Inner {
    /// Lets time pass until the next timer.
    fn pass(&mut self) -> Option<Waker> {
        let ((at, _), waker) = self.timers.pop_first()?;
        self.now = self.now.max(at);
        Some(waker)
    }
}

struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Runs a task beside everything else, until it is done or the simulation ends.
pub fn spawn(task: impl Future<Output = ()> + 'static) {
    BEGUN.with_borrow_mut(|begun| begun.push(Box::pin(task)));
}

/// A future that waits until a time has come.
pub struct Sleeping {
    timeline: Timeline,
    until: Duration,
    timer: Option<(Duration, u64)>,
}

impl Future for Sleeping {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let until = self.until;
        let timer = {
            let mut inner = self.timeline.lock();
            if inner.now >= until {
                return Poll::Ready(());
            }
            let timer = self.timer.unwrap_or((until, inner.timers_made));
            inner.timers_made += 1;
            inner.timers.insert(timer, context.waker().clone());
            timer
        };
        self.timer = Some(timer);
        Poll::Pending
    }
}

impl Drop for Sleeping {
    fn drop(&mut self) {
        if let Some(timer) = self.timer {
            self.timeline.lock().timers.remove(&timer);
        }
    }
}

/// Provides the SDK's own waiting.
impl AsyncSleep for Timeline {
    fn sleep(&self, duration: Duration) -> Sleep {
        Sleep::new(Timeline::sleep(self, duration))
    }
}

/// A machine's clock, which differs from the clocks of others.
#[derive(Debug)]
pub struct MachineClock {
    pub timeline: Timeline,
    /// The time that it shows when the simulation begins.
    pub began: SystemTime,
}

impl Clock for MachineClock {
    fn now(&self) -> SystemTime {
        self.began + self.timeline.elapsed()
    }

    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(self.timeline.sleep(duration))
    }
}
