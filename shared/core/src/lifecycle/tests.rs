use expect_test::expect;

use super::*;

fn request<'a>(
    request_type: RequestType,
    request_id: &'a str,
    named: Option<&'a str>,
    physical_id: &'a str,
) -> Request<'a> {
    Request { request_type, request_id, named, physical_id, issued: None }
}

/// Returns the time this many seconds after the beginning of 2026.
fn at(second: u64) -> Option<Issued> {
    Issued::of_digits(20_260_101_000_000 + second)
}

fn create<'a>(request_id: &'a str, id: &'a str) -> Request<'a> {
    request(RequestType::Create, request_id, None, id)
}

fn update<'a>(request_id: &'a str, named: &'a str, id: &'a str) -> Request<'a> {
    request(RequestType::Update, request_id, Some(named), id)
}

fn delete<'a>(request_id: &'a str, id: &'a str) -> Request<'a> {
    request(RequestType::Delete, request_id, Some(id), id)
}

/// Returns the memory after these requests were handled and answered, each with its own ID as the
/// response.
fn after(requests: &[Request]) -> Memory {
    requests.iter().fold(Memory::default(), |memory, request| {
        let mut next = begun(&memory, request);
        next.answered(request.request_id, request.request_id);
        next
    })
}

fn begun(memory: &Memory, request: &Request) -> Memory {
    match decide(memory, request) {
        Decision::Converge(memory) | Decision::Remove(memory) => memory,
        other => panic!("{request:?} did not begin: {other:?}"),
    }
}

fn gone(memory: &Memory) -> Vec<&str> {
    memory.gone.iter().map(String::as_str).collect()
}

#[test]
fn a_request_that_was_answered_is_answered_the_same_again() {
    for last in [create("r", "x"), update("r", "x", "x"), update("r", "x", "y"), delete("r", "x")] {
        let memory = after(&[create("first", "x"), last]);
        assert_eq!(decide(&memory, &last), Decision::Replay("r".to_owned()), "{last:?}");
    }
}

#[test]
fn a_request_whose_handling_died_begins_again_with_the_same_memory() {
    let memory = after(&[create("first", "x")]);
    for died in [create("r", "y"), update("r", "x", "y"), delete("r", "x"), delete("r", "z")] {
        let once = begun(&memory, &died);
        assert_eq!(begun(&once, &died), once, "{died:?}");
    }
}

#[test]
fn a_create_that_comes_again_after_an_update_does_not_revert_it() {
    let memory = after(&[create("c", "x"), update("u", "x", "x")]);
    assert_eq!(decide(&memory, &create("c", "x")), Decision::Superseded);
}

#[test]
fn a_request_that_was_issued_before_the_latest_is_superseded_even_if_it_is_new() {
    let delete = Request { issued: at(20), ..delete("d", "invented") };
    let memory = after(&[delete]);
    let create = create("c", "x");
    assert_eq!(decide(&memory, &Request { issued: at(19), ..create }), Decision::Superseded);
    for issued in [at(20), at(21), None] {
        let decision = decide(&memory, &Request { issued, ..create });
        assert!(matches!(decision, Decision::Converge(_)), "{issued:?}");
    }
}

#[test]
fn a_request_without_a_date_leaves_the_latest_date_as_it_was() {
    let created = Request { issued: at(20), ..create("c", "x") };
    let memory = after(&[created, update("undated", "x", "x")]);
    let update = update("u", "x", "x");
    assert_eq!(decide(&memory, &Request { issued: at(19), ..update }), Decision::Superseded);
    for issued in [at(20), at(21), None] {
        let decision = decide(&memory, &Request { issued, ..update });
        assert!(matches!(decision, Decision::Converge(_)), "{issued:?}");
    }
}

#[test]
fn a_stored_date_that_is_none_supersedes_nothing() {
    // An earlier version stored whatever date a forged request contained.
    for issued in ["99999999999999", "20261301000000", "-1", "\"x\"", "null"] {
        let memory: Memory = serde_json::from_str(&format!(
            r#"{{"latest":{{"request_id":"forged","issued":{issued}}},"requests":["forged"]}}"#
        ))
        .unwrap();
        let decision = decide(&memory, &Request { issued: at(0), ..update("u", "x", "x") });
        assert!(matches!(decision, Decision::Converge(_)), "{issued}");
    }
    let memory: Memory =
        serde_json::from_str(r#"{"latest":{"request_id":"c","issued":20260101000020}}"#).unwrap();
    let late = Request { issued: at(19), ..update("u", "x", "x") };
    assert_eq!(decide(&memory, &late), Decision::Superseded);
}

#[test]
fn what_is_unlocked_forgets_the_date_and_keeps_its_tombstones() {
    let last = Request { issued: at(40), ..update("u", "y", "y") };
    let memory = after(&[create("c", "x"), update("r", "x", "y"), delete("d", "x"), last]);
    let late = Request { issued: at(10), ..update("new", "y", "y") };
    assert_eq!(decide(&memory, &late), Decision::Superseded);
    let unlocked = memory.unlocked();
    assert!(matches!(decide(&unlocked, &late), Decision::Converge(_)));
    assert_eq!(decide(&unlocked, &create("c", "x")), Decision::Superseded);
    assert_eq!((&unlocked.gone, &unlocked.standing), (&memory.gone, &memory.standing));
    assert_eq!(decide(&unlocked, &last), Decision::Replay("u".to_owned()));
}

#[test]
fn what_stands_is_kept_for_ever_and_what_is_gone_as_long_as_it_guards() {
    let days = |memory: &Memory| memory.kept_for().map(|kept| kept.as_secs() / 86_400);
    assert_eq!(days(&Memory::default()), Some(1));
    let created = after(&[create("c", "x")]);
    assert_eq!(days(&created), None);
    let deleted = begun(&created, &delete("d", "x"));
    assert_eq!(days(&deleted), Some(30));
    assert_eq!(days(&begun(&deleted, &create("n", "y"))), None);
}

#[test]
fn a_delete_of_what_is_gone_succeeds_again() {
    let memory = after(&[create("c", "x"), delete("d", "x")]);
    assert_eq!(gone(&begun(&memory, &delete("another", "x"))), ["x"]);
}

#[test]
fn a_delete_of_what_nobody_remembers_removes_no_more_than_that() {
    assert_eq!(gone(&after(&[delete("d", "x")])), ["x"]);
}

#[test]
fn nothing_is_created_or_updated_under_an_id_that_is_gone() {
    let memory = after(&[create("c", "x"), delete("d", "x")]);
    for late in [create("late", "x"), update("late", "x", "x"), update("late", "x", "y")] {
        assert_eq!(decide(&memory, &late), Decision::Gone, "{late:?}");
    }
}

#[test]
fn the_cleanup_of_a_replacement_leaves_the_new_id_standing() {
    let memory = after(&[create("c", "x"), update("u", "x", "y"), delete("d", "x")]);
    assert_eq!(gone(&memory), ["x"]);
    assert_eq!(memory.standing.len(), 1);
    assert_eq!(memory.standing[0].physical_id, "y");
}

#[test]
fn the_inverse_of_a_replacement_gives_up_the_id_that_nobody_heard_of() {
    let memory = after(&[create("c", "x"), update("u", "x", "y"), update("back", "x", "z")]);
    assert_eq!(gone(&memory), ["y"]);
}

#[test]
fn the_inverse_of_a_replacement_may_name_the_new_id() {
    let memory = after(&[create("c", "x"), update("u", "x", "y"), update("back", "y", "z")]);
    assert_eq!(gone(&memory), ["x"]);
    assert_eq!(gone(&begun(&memory, &delete("d", "y"))), ["x", "y"]);
}

#[test]
fn a_delete_with_an_invented_id_removes_the_create_that_was_cancelled() {
    let cancelled = begun(&Memory::default(), &create("c", "x"));
    assert_eq!(gone(&begun(&cancelled, &delete("d", "invented"))), ["invented", "x"]);
}

#[test]
fn a_delete_with_an_invented_id_removes_the_older_of_two_creates_and_only_once() {
    let memory = after(&[create("c", "x"), create("again", "y"), delete("d", "invented")]);
    assert_eq!(gone(&memory), ["invented", "x"]);
    assert_eq!(gone(&begun(&memory, &delete("e", "invented"))), ["invented", "x"]);
}

#[test]
fn an_id_that_cloudformation_has_named_is_never_taken_for_a_cancelled_create() {
    let memory = after(&[create("c", "x"), update("u", "x", "x"), delete("d", "unknown")]);
    assert_eq!(gone(&memory), ["unknown"]);
    let memory = after(&[create("c", "x"), update("u", "x", "y"), delete("d", "unknown")]);
    assert_eq!(gone(&memory), ["unknown"]);
}

#[test]
fn the_answer_of_a_request_that_is_not_the_latest_is_not_kept() {
    let mut memory = after(&[create("c", "x"), update("u", "x", "x")]);
    let before = memory.clone();
    memory.answered("c", "late");
    assert_eq!(memory, before);
}

#[test]
fn only_the_newest_requests_are_remembered() {
    let ids: Vec<String> = (0..REMEMBERED + 3).map(|n| format!("r{n}")).collect();
    let requests: Vec<Request> = ids.iter().map(|id| update(id, "x", "x")).collect();
    assert_eq!(after(&requests).requests, ids[3..]);
}

#[test]
fn what_is_remembered_survives_being_written_and_read() {
    let memory = after(&[create("c", "x"), update("u", "x", "y"), delete("d", "x")]);
    let json = serde_json::to_string_pretty(&memory).unwrap();
    assert_eq!(serde_json::from_str::<Memory>(&json).unwrap(), memory);
    expect![[r#"
        {
          "version": 1,
          "latest": {
            "request_id": "d",
            "issued": null,
            "answer": "d"
          },
          "requests": [
            "c",
            "u",
            "d"
          ],
          "standing": [
            {
              "physical_id": "y",
              "created": false,
              "heard": false
            }
          ],
          "gone": [
            "x"
          ]
        }"#]]
    .assert_eq(&json);
}

#[test]
fn fields_that_are_missing_or_unknown_do_not_matter() {
    let memory: Memory = serde_json::from_str(
        r#"{"version":0,"latest":{"request_id":"c","mood":"good"},"gone":["x"],"later":{}}"#,
    )
    .unwrap();
    assert_eq!(decide(&memory, &update("u", "x", "x")), Decision::Gone);
    assert_eq!(begun(&memory, &create("n", "y")).version, VERSION);
    assert_eq!(serde_json::from_str::<Memory>("{}").unwrap(), Memory::default());
}

#[test]
fn a_physical_id_depends_on_the_stack_the_logical_id_and_the_request() {
    let id = physical_id("stack", "Reader", "request");
    expect!["Reader-f61d03de3fd0d184"].assert_eq(&id);
    assert_eq!(id, physical_id("stack", "Reader", "request"));
    for (stack, logical, request) in [
        ("stack2", "Reader", "request"),
        ("stack", "Reader", "request2"),
        ("stackR", "eader", "request"),
    ] {
        assert_ne!(id, physical_id(stack, logical, request));
    }
    let digits = |id: String| id.rsplit_once('-').map(|(_, digits)| digits.to_owned());
    assert_ne!(digits(physical_id("ab", "c", "d")), digits(physical_id("a", "bc", "d")));
}
