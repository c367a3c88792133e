//! Runs that Glue repeats by itself, by their IDs.

use proptest::prelude::*;

use super::*;

#[test]
fn an_id_of_a_run_that_glue_repeats_tells_the_run_and_how_often() {
    assert_eq!(attempt_of("jr_0123abcd"), ("jr_0123abcd", 0));
    assert_eq!(attempt_of("jr_0123abcd_attempt_1"), ("jr_0123abcd", 1));
    assert_eq!(attempt_of("jr_0123abcd_attempt_12"), ("jr_0123abcd", 12));
    for odd in
        ["", "_attempt_1", "jr_1_attempt_", "jr_1_attempt_0", "jr_1_attempt_x", "jr_1_attempt_-1"]
    {
        assert_eq!(attempt_of(odd), (odd, 0), "it is taken for a run that nobody repeated");
    }
    assert_eq!(attempt_of("jr_1_attempt_99999999999"), ("jr_1_attempt_99999999999", 0));
}

#[test]
fn each_attempt_has_the_next_one_behind_it() {
    assert_eq!(repeat_after("jr_1"), "jr_1_attempt_1");
    assert_eq!(repeat_after("jr_1_attempt_9"), "jr_1_attempt_10");
}

#[test]
fn the_end_of_any_attempt_wakes_the_batch_of_its_run() {
    let awaited = run_ended(&start(), "jr_1");
    assert_eq!(awaited, "run 222222222222/eu-west-1/orders/jr_1", "as the version before wrote it");
    assert_eq!(run_ended(&start(), "jr_1_attempt_3"), awaited);
    assert_ne!(run_ended(&start(), "jr_2_attempt_1"), awaited);
}

proptest! {
    #[test]
    fn whatever_the_id_the_next_attempt_is_of_the_same_run(run_id in "\\PC{0,20}", repeats in 1..5u32) {
        let last = (0..repeats).fold(run_id.clone(), |run_id, _| repeat_after(&run_id));
        let (run, number) = attempt_of(&run_id);
        // Without a name, there is nothing to repeat.
        prop_assume!(!run.is_empty());
        prop_assert_eq!(attempt_of(&last), (run, number + repeats));
    }
}
