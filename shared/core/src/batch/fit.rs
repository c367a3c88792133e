//! Keeps batches within the size of a ledger item: cuts foreign texts, and makes smaller what is too large.

use std::io::{self, Write};

use super::Batch;

/// The most bytes that are kept of a text that somebody else wrote, such as a message from Glue or IAM.
pub(super) const MAX_TEXT_BYTES: usize = 2_048;

/// The most bytes of a batch's JSON. DynamoDB takes 400 KB for an item, including the attributes of the indexes.
const MAX_BYTES: usize = 380_000;

/// How much longer the item after a start can be than the one before it.
const OUTCOME_BYTES: usize = 30_000;

/// Returns the text, or its beginning if it is long. A message that repeats a request can be as long as the request, and
/// a few of them would fill an item.
pub fn cut(text: &str) -> String {
    const ELLIPSIS: &str = "…";
    if text.len() <= MAX_TEXT_BYTES {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(MAX_TEXT_BYTES - ELLIPSIS.len());
    format!("{}{ELLIPSIS}", &text[..end])
}

/// Returns the text, or its first characters if it has more than `most`.
pub(super) fn cut_to_chars(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

impl Batch {
    /// Returns the batch small enough to be written. It first drops the middle of the history and why earlier runs failed,
    /// which people miss least, then what can be prepared again. So every step that has to be written can be.
    pub(super) fn fitting(self) -> Self {
        if self.bytes() <= MAX_BYTES {
            return self;
        }
        let batch = self.in_short();
        if batch.bytes() <= MAX_BYTES {
            batch
        } else {
            Self { prepared: None, prepared_at: None, ..batch }
        }
    }

    /// Returns the batch small enough for a start, which needs everything that was prepared; `None` if it has no room for
    /// that and for the outcome of the start.
    pub(super) fn fitting_to_start(self) -> Option<Self> {
        let fits = |batch: &Self| batch.bytes() <= MAX_BYTES - OUTCOME_BYTES;
        if fits(&self) {
            return Some(self);
        }
        Some(self.in_short()).filter(fits)
    }

    /// Keeps only the beginning and the end of its history, and the error of its last run only.
    fn in_short(mut self) -> Self {
        if let Some((_, earlier)) = self.runs.split_last_mut() {
            earlier.iter_mut().for_each(|run| run.error = None);
        }
        let end = self.history.len().saturating_sub(2);
        if end > 1 {
            self.history.drain(1..end);
        }
        self
    }

    /// Returns the length of its JSON.
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
