//! A resource that many tests of one program share. The first test that runs sets it up, and it is
//! torn down when its last owner is gone.

use std::process::ExitCode;
use std::sync::{Arc, OnceLock};

use anyhow::Result;
use libtest_mimic::{Conclusion, Failed, Trial};

pub struct Shared<S>(Arc<OnceLock<Result<S, String>>>);

impl<S> Default for Shared<S> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<S: Send + Sync + 'static> Shared<S> {
    /// Returns a test that runs on the shared resource. If `set` failed, every test fails and
    /// reports the cause.
    pub fn trial(
        &self,
        name: &str,
        set: fn() -> Result<S>,
        run: impl FnOnce(&S) -> Result<()> + Send + 'static,
    ) -> Trial {
        let shared = Arc::clone(&self.0);
        Trial::test(name, move || {
            let found = shared.get_or_init(|| set().map_err(|error| format!("{error:#}")));
            let found = found
                .as_ref()
                .map_err(|error| format!("failed to set up what the tests share: {error}"))?;
            run(found).map_err(|error| Failed::from(format!("{error:#}")))
        })
    }

    /// Prints the hints if a test has failed, and tears the resource down. Call it when all tests
    /// have run.
    pub fn conclude(self, conclusion: &Conclusion, hints: impl FnOnce(&S) -> String) -> ExitCode {
        if conclusion.has_failed()
            && let Some(Ok(found)) = self.0.get()
        {
            eprintln!("{}", hints(found));
        }
        // This is the last owner, because the tests are gone.
        drop(self);
        conclusion.exit_code()
    }
}
