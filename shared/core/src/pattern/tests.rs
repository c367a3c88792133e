use proptest::prelude::*;

use super::*;

/// Checks a match. `expected` lists the captures as `name=value`, or is `no match`.
#[track_caller]
fn check(pattern: &str, key: &str, expected: &str) {
    let pattern = Pattern::parse(pattern).expect("a pattern");
    let found = match pattern.captures(key) {
        None => "no match".to_owned(),
        Some(captures) => captures
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect::<Vec<_>>()
            .join(" "),
    };
    assert_eq!(found, expected, "{pattern} on {key}");
}

#[test]
fn a_capture_takes_one_segment_and_at_least_one_character() {
    check("orders/dt={dt}/{file}.csv", "orders/dt=2024-01-01/a.csv", "dt=2024-01-01 file=a");
    check("orders/dt={dt}/{file}.csv", "orders/dt=/a.csv", "no match");
    check("orders/dt={dt}/{file}.csv", "orders/dt=1/x/a.csv", "no match");
    check("orders/dt={dt}/{file}.csv", "orders/dt=1/a.csv.gz", "no match");
    check("{a}", "", "no match");
    check("{a}", "ß", "a=ß");
}

#[test]
fn a_star_stays_in_its_segment_and_can_be_empty() {
    check("in/*.csv", "in/.csv", "");
    check("in/*.csv", "in/a/b.csv", "no match");
    check("in/*/b", "in//b", "");
}

#[test]
fn a_double_star_takes_any_number_of_segments() {
    check("in/**/{f}.csv", "in/a.csv", "f=a");
    check("in/**/{f}.csv", "in/x/y/a.csv", "f=a");
    check("in/**", "in", "no match");
    check("in/**", "in/", "");
    check("in/**", "in/a/b", "");
    check("**", "anything/at all", "");
    check("**/a/{x}/b", "a/1/c/a/2/b", "x=2");
    check("a/**/b/**/{c}", "a/b/x/b/y", "c=y");
    check("**/{a}/z", "z", "no match");
}

#[test]
fn wildcards_take_as_little_as_they_can_and_the_last_takes_the_rest() {
    check("{a}-{b}", "x-y-z", "a=x b=y-z");
    check("{a}-{b}", "-x-y", "a=-x b=y");
    check("{f}.csv", "a.csv.csv", "f=a.csv");
    check("{a}-*-{b}.csv", "1-2-3-4.csv", "a=1 b=3-4");
    check("a{x}a", "aa", "no match");
}

#[test]
fn doubled_braces_stand_for_braces() {
    check("{{{a}}}", "{1}", "a=1");
    check("a}}b", "a}b", "");
}

#[test]
fn what_is_no_pattern_is_refused_with_a_hint() {
    for (text, message) in [
        ("", "the key pattern is empty"),
        ("a/{b", "`{` is not closed"),
        ("a/b}", "`}` without `{`"),
        ("{Dt}", "`{Dt}` is not a valid capture name"),
        ("{}", "`{}` is not a valid capture name"),
        ("{a}/{a}", "`{a}` is used twice"),
        (
            "{a}*",
            "`{a}` and `*` are next to each other, so nothing says where one ends and the other begins",
        ),
        ("a**", "`**` shares its segment with other text"),
        ("**/**", "`**` follows `**`"),
        ("**/a/**/a/**/a/**/a/**", "`**` is used more than 4 times"),
        (
            &"x".repeat(1025),
            "the shortest key that could match has 1025 bytes, but S3 allows at most 1,024",
        ),
    ] {
        let error = Pattern::parse(text).expect_err(text);
        assert_eq!(error.to_string(), message);
        assert!(!error.hint().is_empty());
    }
}

#[test]
fn the_literal_ends_of_a_pattern_stop_at_its_wildcards() {
    for (pattern, prefix, suffix) in [
        ("a/b.csv", "a/b.csv", ""),
        ("orders/dt={dt}/{file}.csv", "orders/dt=", ".csv"),
        ("a/{x}/b/c.csv", "a/", "/b/c.csv"),
        ("a/{x}{{1}}/c", "a/", "{1}/c"),
        // If `**` takes no segment, the key is `a/b`, and its only `/` already belongs to the
        // prefix.
        ("a/**/b", "a/", "b"),
        ("**/b/c", "", "b/c"),
        ("**/x/**/b", "", "/b"),
        ("a/**/x/**/b", "a/", "/b"),
        ("a/*/**/b", "a/", "/b"),
        ("in/**", "in/", ""),
        ("**", "", ""),
        ("/", "/", ""),
        ("a*b", "a", "b"),
    ] {
        let ends = Pattern::parse(pattern).unwrap().literal_ends();
        assert_eq!(ends, (prefix.to_owned(), suffix.to_owned()), "{pattern}");
    }
}

/// Generates the segments of patterns over a small alphabet, so that keys match often. Both
/// `Pattern` and the slow, obvious matcher read them.
fn segments() -> impl Strategy<Value = Vec<String>> {
    prop::collection::vec(
        prop_oneof![
            2 => "[ab]{0,2}",
            2 => "[ab]?\\*[ab]?",
            1 => "[ab]?\\*[ab]\\*",
            1 => Just("**".to_owned()),
        ],
        1..5,
    )
    .prop_filter("no two `**` in a row", |s| !s.windows(2).any(|w| w[0] == "**" && w[1] == "**"))
}

fn slow_match(pattern: &[&str], key: &[&str]) -> bool {
    match (pattern, key) {
        ([], key) => key.is_empty(),
        (["**"], key) => !key.is_empty(),
        (["**", rest @ ..], key) => (0..=key.len()).any(|n| slow_match(rest, &key[n..])),
        ([first, rest @ ..], [segment, others @ ..]) => {
            slow_glob(first.as_bytes(), segment.as_bytes()) && slow_match(rest, others)
        }
        (_, []) => false,
    }
}

fn slow_glob(glob: &[u8], text: &[u8]) -> bool {
    match (glob, text) {
        ([], text) => text.is_empty(),
        ([b'*', rest @ ..], text) => (0..=text.len()).any(|n| slow_glob(rest, &text[n..])),
        ([g, rest @ ..], [t, others @ ..]) => g == t && slow_glob(rest, others),
        (_, []) => false,
    }
}

proptest! {
    #[test]
    fn matching_agrees_with_trying_everything(pattern in segments(), key in "[ab/]{0,8}") {
        let text = pattern.join("/");
        prop_assume!(!text.is_empty());
        let parts: Vec<&str> = pattern.iter().map(String::as_str).collect();
        let key_parts: Vec<&str> = key.split('/').collect();
        let matched = Pattern::parse(&text).unwrap().captures(&key).is_some();
        prop_assert_eq!(matched, slow_match(&parts, &key_parts), "{} on {}", text, key);
    }

    #[test]
    fn every_matching_key_has_the_literal_ends_of_its_pattern_side_by_side(
        pattern in segments(),
        key in "[ab/]{0,8}",
    ) {
        let text = pattern.join("/");
        prop_assume!(!text.is_empty());
        let pattern = Pattern::parse(&text).unwrap();
        let (prefix, suffix) = pattern.literal_ends();
        if pattern.captures(&key).is_some() {
            let rest = key.strip_prefix(&prefix).and_then(|rest| rest.strip_suffix(&suffix));
            prop_assert!(rest.is_some(), "{} on {}: {} {}", text, key, prefix, suffix);
        }
    }

    #[test]
    fn no_text_makes_a_pattern_panic(text in "\\PC*", key in "\\PC*") {
        if let Ok(pattern) = Pattern::parse(&text) {
            let _ = pattern.captures(&key);
        }
    }

    #[test]
    fn captures_put_back_in_place_give_the_key(key in "[ab-]{1,8}/[ab-]{1,8}") {
        let pattern = Pattern::parse("{a}-{b}/{c}").unwrap();
        if let Some(captures) = pattern.captures(&key) {
            let [(_, a), (_, b), (_, c)] = captures[..] else { panic!("three captures") };
            prop_assert_eq!(format!("{a}-{b}/{c}"), key);
        }
    }
}
