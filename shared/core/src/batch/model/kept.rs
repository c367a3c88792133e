//! A value with its hash: most of what a state holds is the same in the next, and to hash it again
//! each time is most of the work.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Deref;
use std::sync::Arc;

#[derive(Clone, Debug)]
pub(crate) struct Kept<T> {
    value: Arc<T>,
    hash: u64,
}

impl<T: Hash> From<T> for Kept<T> {
    fn from(value: T) -> Self {
        let mut hasher = DefaultHasher::new();
        value.hash(&mut hasher);
        Self { value: Arc::new(value), hash: hasher.finish() }
    }
}

impl<T> Deref for Kept<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.value
    }
}

/// The checker tells states apart by their hashes too.
impl<T> PartialEq for Kept<T> {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash
    }
}

impl<T> Eq for Kept<T> {}

impl<T> Hash for Kept<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.hash.hash(state);
    }
}
