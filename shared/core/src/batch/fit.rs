//! What an item of the ledger can hold: foreign texts are cut, and what is too large gets smaller.

use std::io::{self, Write};

use super::Batch;

/// The most bytes that are kept of a text that somebody else wrote, as Glue's messages and IAM's.
pub(super) const MAX_TEXT_BYTES: usize = 2_048;

/// DynamoDB admits 400 KB to an item, the attributes of the indexes included.
const MAX_BYTES: usize = 380_000;

/// What is written after a start is longer than what was written before it.
const OUTCOME_BYTES: usize = 30_000;

/// The text, or its beginning. A message that repeats a request can be as long as the request, which
/// would fill an item after a few of them.
pub fn cut(text: &str) -> String {
    const ELLIPSIS: &str = "…";
    if text.len() <= MAX_TEXT_BYTES {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(MAX_TEXT_BYTES - ELLIPSIS.len());
    format!("{}{ELLIPSIS}", &text[..end])
}

impl Batch {
    /// As it can be written. What people miss least gives way first, then what can be prepared anew: no
    /// step that is to be written is too large to be.
    pub(super) fn fitting(self) -> Self {
        if self.bytes() <= MAX_BYTES {
            return self;
        }
        let batch = self.in_short();
        match batch.bytes() <= MAX_BYTES {
            true => batch,
            false => Self { prepared: None, prepared_at: None, ..batch },
        }
    }

    /// The same before a start, which needs all that was prepared; `None` if there is no room for it and
    /// for what comes of the start.
    pub(super) fn fitting_to_start(self) -> Option<Self> {
        let fits = |batch: &Self| batch.bytes() <= MAX_BYTES - OUTCOME_BYTES;
        if fits(&self) {
            return Some(self);
        }
        Some(self.in_short()).filter(fits)
    }

    /// With the beginning and the end of its history only.
    fn in_short(mut self) -> Self {
        let end = self.history.len().saturating_sub(2);
        if end > 1 {
            self.history.drain(1..end);
        }
        self
    }

    /// Of its JSON.
    fn bytes(&self) -> usize {
        let mut counted = Counted(0);
        // Strings, numbers and structs of them always serialise, and counting does not fail.
        serde_json::to_writer(&mut counted, self).unwrap_or_default();
        counted.0
    }
}

struct Counted(usize);

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
