//! Lists that can be packed. Their elements lie one behind the other as JSON, and each is read when it is first asked
//! for, so a list of thousands costs next to nothing until then.

use std::fmt;
use std::ops::{Index, Range};
use std::sync::{Arc, OnceLock};

use serde::Serialize;
use serde::de::DeserializeOwned;

/// A list that may be packed. It looks the same either way.
#[derive(Clone)]
pub struct List<T> {
    /// What the elements are read from. If the list isn't packed, this is empty.
    packed: Arc<Vec<u8>>,
    elements: Vec<Element<T>>,
}

#[derive(Clone)]
struct Element<T> {
    range: Range<usize>,
    read: OnceLock<Box<T>>,
}

/// Packed bytes, and how many of them have been shared out among lists.
pub(crate) struct Packed {
    bytes: Arc<Vec<u8>>,
    at: usize,
}

impl Packed {
    /// Returns the bytes from `at` on.
    pub(crate) fn new(bytes: Vec<u8>, at: usize) -> Self {
        Self { bytes: Arc::new(bytes), at }
    }

    /// Returns `true` if every byte belongs to a list.
    pub(crate) fn is_used_up(&self) -> bool {
        self.at == self.bytes.len()
    }
}

impl<T> List<T> {
    /// Returns the number of elements.
    pub fn len(&self) -> usize {
        self.elements.len()
    }

    /// Returns `true` if the list has no elements.
    pub fn is_empty(&self) -> bool {
        self.elements.is_empty()
    }

    /// Returns the list of the next elements in `packed`, which have these lengths; `None` if it is shorter.
    pub(crate) fn unpack(packed: &mut Packed, lengths: &[usize]) -> Option<Self> {
        let mut element = |length: &usize| {
            let end = packed.at.checked_add(*length).filter(|end| *end <= packed.bytes.len())?;
            let range = std::mem::replace(&mut packed.at, end)..end;
            Some(Element { range, read: OnceLock::new() })
        };
        let elements = lengths.iter().map(&mut element).collect::<Option<_>>()?;
        Some(Self { packed: Arc::clone(&packed.bytes), elements })
    }
}

impl<T: DeserializeOwned> List<T> {
    /// Returns all elements in their order, and reads those that haven't been read.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &T> + ExactSizeIterator + Clone {
        (0..self.len()).map(|index| &self[index])
    }
}

impl<T: Serialize + DeserializeOwned> List<T> {
    /// Appends the elements to `bytes`, and returns their lengths.
    pub(crate) fn pack(&self, bytes: &mut Vec<u8>) -> serde_json::Result<Vec<usize>> {
        let pack = |element| {
            let before = bytes.len();
            serde_json::to_writer(&mut *bytes, element)?;
            Ok(bytes.len() - before)
        };
        self.iter().map(pack).collect()
    }
}

impl<T: DeserializeOwned> Index<usize> for List<T> {
    type Output = T;

    /// Panics if the index is out of bounds, like that of a slice.
    fn index(&self, index: usize) -> &T {
        let Element { range, read } = &self.elements[index];
        read.get_or_init(|| {
            let element = serde_json::from_slice(&self.packed[range.clone()]);
            // Whoever unpacks checks that this version of the code has packed it, and that it is undamaged.
            Box::new(element.expect("what was packed can be read"))
        })
    }
}

impl<T> From<Vec<T>> for List<T> {
    fn from(elements: Vec<T>) -> Self {
        let read = |element| Element { range: 0..0, read: OnceLock::from(Box::new(element)) };
        Self { packed: Arc::default(), elements: elements.into_iter().map(read).collect() }
    }
}

impl<T> Default for List<T> {
    fn default() -> Self {
        Vec::new().into()
    }
}

impl<T: DeserializeOwned + fmt::Debug> fmt::Debug for List<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packed_lists_are_read_as_they_were() -> serde_json::Result<()> {
        let (first, second) =
            (List::from(vec!["a".to_owned(), "ü\"\n".to_owned()]), List::from(vec![7_u64]));
        let mut bytes = b"before".to_vec();
        let (texts, numbers) = (first.pack(&mut bytes)?, second.pack(&mut bytes)?);
        let mut packed = Packed::new(bytes, 6);
        let first: List<String> = List::unpack(&mut packed, &texts).expect("all of it is there");
        assert!(!packed.is_used_up());
        let second: List<u64> = List::unpack(&mut packed, &numbers).expect("all of it is there");
        assert!(packed.is_used_up());
        assert_eq!((first.len(), &first[1], &second[0]), (2, &"ü\"\n".to_owned(), &7));
        assert_eq!(first.iter().rev().collect::<Vec<_>>(), ["ü\"\n", "a"]);
        assert!(List::<u64>::unpack(&mut packed, &[1]).is_none(), "nothing is left");
        assert!(List::<u64>::unpack(&mut packed, &[usize::MAX, 2]).is_none(), "too long to add");
        Ok(())
    }

    #[test]
    fn only_what_is_asked_for_is_read() {
        let mut packed = Packed::new(b"1?3".to_vec(), 0);
        let list: List<u64> = List::unpack(&mut packed, &[1, 1, 1]).expect("all of it is there");
        assert_eq!((list[0], list[2]), (1, 3));
    }
}
