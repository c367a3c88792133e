//! How many arrivals one transaction takes, and what tells them apart.

use proptest::prelude::*;

use super::*;
use crate::arrivals::tests::arrival;

fn member(key: &str) -> Member {
    Member::from(&arrival("landing", key))
}

#[test]
fn a_transaction_takes_98_arrivals_and_one_less_with_the_head_of_a_group() {
    let members = vec![member("a"); 200];
    let taken = |members: &[Member], has_head| chunk(members, arrivals_room(has_head), Time(0));
    assert_eq!((taken(&members, false), taken(&members, true)), ((98, 98), (97, 97)));
    assert_eq!((taken(&members[..5], false), taken(&[], true)), ((5, 5), (0, 0)));
}

/// DynamoDB admits 400 KB in an item.
const MAX_ITEM_BYTES: usize = 400_000;

fn json_bytes(members: &[Member]) -> usize {
    let chunk = Chunk { v: SCHEMA_VERSION, members: members.to_vec() };
    serde_json::to_string(&chunk).expect("it serialises").len()
}

#[test]
fn long_keys_of_control_characters_are_split_so_that_a_chunk_fits_an_item() {
    let members = vec![member(&"\u{1}".repeat(1024)); 98];
    let (taken, _) = chunk(&members, 98, Time(0));
    assert!((1..98).contains(&taken), "{taken}");
    assert!(json_bytes(&members[..taken]) < MAX_ITEM_BYTES);
}

#[test]
fn what_is_longer_than_any_key_is_taken_alone() {
    let members = vec![member(&"a".repeat(300_000)); 2];
    assert_eq!(chunk(&members, 98, Time(0)), (1, 1));
}

proptest! {
    #[test]
    fn whatever_the_keys_a_chunk_fits_and_all_are_taken_in_the_end(
        keys in prop::collection::vec("[\\x00-\\x20\"\\\\aü𝄞]{0,250}", 0..150),
        etag in prop::option::of("\\PC{0,200}"),
        opens in any::<bool>(),
    ) {
        let with = |key: &String| Member { etag: etag.clone(), ..member(key) };
        let members: Vec<Member> = keys.iter().map(with).collect();
        let mut rest = &members[..];
        while !rest.is_empty() {
            let (taken, items) = chunk(rest, arrivals_room(opens), Time(0));
            prop_assert!(taken > 0 && items >= taken && items <= 98 - usize::from(opens));
            prop_assert!(json_bytes(&rest[..taken]) < MAX_ITEM_BYTES);
            rest = &rest[taken..];
        }
    }
}
