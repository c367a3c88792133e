//! The pace at which to ask how far CloudFormation has got.

use std::time::Duration;

/// A pause that grows with each wait, up to two seconds.
#[derive(Debug)]
pub struct Pace(Duration);

const SLOWEST: Duration = Duration::from_secs(2);

impl Default for Pace {
    fn default() -> Self {
        Self(Duration::from_millis(50))
    }
}

impl Pace {
    /// Waits until it is time to ask again.
    pub async fn wait(&mut self) {
        tokio::time::sleep(self.0).await;
        self.0 = (self.0 * 5 / 4).min(SLOWEST);
    }
}
