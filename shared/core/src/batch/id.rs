//! Batch IDs: the analytics account that a batch is for, then a hash.
//!
//! A batch's ID is its key in the claims table, and policies compare the beginning of keys. The account comes first, so
//! that a reader role reaches the claims of its own account and no others. The previous version wrote only the hash. Such
//! a batch keeps its ID, because two IDs would be two claims.

use std::fmt;

use super::NO_TARGET;
use crate::arn::is_account;

/// The number of characters of the hash, which is the whole ID in the previous version.
pub const HASH_CHARS: usize = 32;

/// The parts of a batch ID.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchId<'a> {
    /// 12 digits, or [`NO_TARGET`] if the batch is for no account; `None` in an ID of the previous version.
    pub account: Option<&'a str>,
    /// 32 hexadecimal digits, in lower case.
    pub hash: &'a str,
}

impl<'a> BatchId<'a> {
    /// Takes an ID apart; `None` if `text` is not one.
    pub fn parse(text: &'a str) -> Option<Self> {
        let (account, hash) = match text.split_once('-') {
            Some((account, hash)) => (Some(account), hash),
            None => (None, text),
        };
        let is_digit = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        let is_hash = hash.len() == HASH_CHARS && hash.bytes().all(is_digit);
        let is_owner = |text: &str| is_account(text) || text == NO_TARGET;
        (is_hash && account.is_none_or(is_owner)).then_some(Self { account, hash })
    }

    /// Returns the account that an ID names; `None` for an ID of the previous version and for anything else.
    pub fn account_of(text: &'a str) -> Option<&'a str> {
        Self::parse(text)?.account
    }
}

impl fmt::Display for BatchId<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(account) = self.account {
            write!(f, "{account}-")?;
        }
        f.write_str(self.hash)
    }
}
