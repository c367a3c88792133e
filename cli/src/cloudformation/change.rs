//! Shows a change set: what becomes of each resource. Pure.

use landfall_stacks::change::{Change, Replacement};

use crate::terminal::printable;
use crate::terminal::table::{Align, table};

/// Returns the changes as a table. Replacements and removals stand out in capitals.
pub fn shown(changes: &[Change]) -> String {
    let rows: Vec<[String; 4]> = changes.iter().map(row).collect();
    let columns = ["ACTION", "RESOURCE", "TYPE", "REPLACEMENT"];
    table(columns.map(|name| (name, Align::Left)), &rows)
}

fn row(change: &Change) -> [String; 4] {
    let replacement = match (change.replacement, change.action.as_str()) {
        (Replacement::Yes, _) => "REPLACED",
        (Replacement::Maybe, _) => "MAYBE REPLACED",
        (Replacement::No, _) => "no",
        (Replacement::None, "Remove") if change.is_retained => "stays, out of the stack",
        (Replacement::None, "Remove") => "DELETED",
        (Replacement::None, _) => "",
    };
    let [action, id, kind] =
        [&change.action, &change.logical_id, &change.kind].map(|text| printable(text));
    [action, id, kind, replacement.to_owned()]
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn what_is_replaced_or_deleted_stands_out() {
        let change = |action: &str, id: &str, replacement, is_retained| Change {
            action: action.to_owned(),
            logical_id: id.to_owned(),
            kind: "AWS::SQS::Queue".to_owned(),
            replacement,
            is_retained,
            causes: Vec::new(),
        };
        let changes = [
            change("Add", "New", Replacement::None, false),
            change("Import", "Ledger", Replacement::None, false),
            change("Modify", "Kept", Replacement::No, false),
            change("Modify", "Perhaps", Replacement::Maybe, false),
            change("Modify", "Replaced", Replacement::Yes, false),
            change("Remove", "Gone", Replacement::None, false),
            change("Remove", "Given-up\u{1b}", Replacement::None, true),
        ];
        expect![[r#"
            ACTION  RESOURCE        TYPE             REPLACEMENT
            Add     New             AWS::SQS::Queue
            Import  Ledger          AWS::SQS::Queue
            Modify  Kept            AWS::SQS::Queue  no
            Modify  Perhaps         AWS::SQS::Queue  MAYBE REPLACED
            Modify  Replaced        AWS::SQS::Queue  REPLACED
            Remove  Gone            AWS::SQS::Queue  DELETED
            Remove  Given-up\u{1b}  AWS::SQS::Queue  stays, out of the stack
        "#]]
        .assert_eq(&shown(&changes));
    }
}
