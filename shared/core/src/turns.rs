//! Whose turn it is, where many want something at once.

use std::collections::BTreeMap;

/// The first of each class, then the second of each, and so on; so none waits for more than a few of each other class,
/// however many these have. Within a class, and among the first ones, the order is kept.
pub fn in_turns<T, C: Ord>(items: Vec<T>, class: impl Fn(&T) -> C) -> Vec<T> {
    let mut before: BTreeMap<C, usize> = BTreeMap::new();
    let ranked = items.into_iter().map(|item| {
        let count = before.entry(class(&item)).or_default();
        *count += 1;
        (*count, item)
    });
    let mut ranked: Vec<(usize, T)> = ranked.collect();
    ranked.sort_by_key(|(rank, _)| *rank);
    ranked.into_iter().map(|(_, item)| item).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn each_class_has_its_turn_in_the_order_in_which_its_items_stand() {
        let items = vec!["a1", "a2", "a3", "b1", "a4", "c1", "b2"];
        let turns = in_turns(items, |item| item.as_bytes()[0]);
        assert_eq!(turns, ["a1", "b1", "c1", "a2", "b2", "a3", "a4"]);
    }

    proptest! {
        #[test]
        fn nothing_is_lost_and_no_class_waits_for_more_than_its_share(
            items in prop::collection::vec((0..5_u8, 0..100_u8), 0..200),
        ) {
            let turns = in_turns(items.clone(), |(class, _)| *class);
            for class in 0..5 {
                let of = |all: &[(u8, u8)]| -> Vec<u8> {
                    all.iter().filter(|(c, _)| *c == class).map(|(_, item)| *item).collect()
                };
                prop_assert_eq!(of(&items), of(&turns));
                let places = turns.iter().enumerate().filter(|(_, (c, _))| *c == class);
                for (rank, (place, _)) in places.enumerate() {
                    prop_assert!(place < (rank + 1) * 5);
                }
            }
        }
    }
}
