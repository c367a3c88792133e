//! What many tests of one program stand on: set up by the first that runs, torn down when the last owner is gone.

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
    /// A test that runs on it. Where `set` has failed each test fails, with what was wrong.
    pub fn trial(
        &self,
        name: &str,
        set: fn() -> Result<S>,
        run: impl FnOnce(&S) -> Result<()> + Send + 'static,
    ) -> Trial {
        let shared = Arc::clone(&self.0);
        Trial::test(name, move || {
            let found = shared.get_or_init(|| set().map_err(|error| format!("{error:#}")));
            let found = found.as_ref().map_err(|error| format!("the stage is not set: {error}"))?;
            run(found).map_err(|error| Failed::from(format!("{error:#}")))
        })
    }

    /// To be called when all tests have run: prints the hints if one has failed, and tears it down.
    pub fn conclude(self, conclusion: &Conclusion, hints: impl FnOnce(&S) -> String) -> ExitCode {
        if conclusion.has_failed()
            && let Some(Ok(found)) = self.0.get()
        {
            eprintln!("{}", hints(found));
        }
        // This is the last owner: the tests are gone.
        drop(self);
        conclusion.exit_code()
    }
}
