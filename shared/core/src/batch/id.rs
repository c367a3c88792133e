//! Batch ids: the analytics account that a batch is for, then a hash.
//!
//! The claims table has a batch's id for its key, and policies compare the beginning of keys. So the account
//! stands first: a reader role reaches its own account's claims and no other's. The version before wrote the
//! hash alone. Such a batch keeps its id, since two ids would be two claims.

use std::fmt;

use crate::arn::is_account;

/// The characters of the hash, and so of a whole id of the version before.
pub const HASH_CHARS: usize = 32;

/// The parts of a batch id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchId<'a> {
    /// 12 digits; `None` in an id of the version before.
    pub account: Option<&'a str>,
    /// 32 hexadecimal digits, in lower case.
    pub hash: &'a str,
}

impl<'a> BatchId<'a> {
    /// Takes an id apart; `None` if `text` is none.
    pub fn parse(text: &'a str) -> Option<Self> {
        let (account, hash) = match text.split_once('-') {
            Some((account, hash)) => (Some(account), hash),
            None => (None, text),
        };
        let is_digit = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        let is_hash = hash.len() == HASH_CHARS && hash.bytes().all(is_digit);
        (is_hash && account.is_none_or(is_account)).then_some(Self { account, hash })
    }

    /// The account that an id names. Of what is no id, and of an id of the version before, `None`.
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
