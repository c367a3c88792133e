//! Lists what stays when stacks are deleted, and how to remove each resource by hand. Pure.

use crate::terminal::printable;

/// A resource that its template retains.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Left {
    pub kind: String,
    pub physical_id: String,
    pub account: String,
    pub region: String,
}

pub fn shown(left: &[Left]) -> String {
    let mut text = String::new();
    if !left.is_empty() {
        text.push_str(
            "\nThese will stay, with their contents. To remove one, run its command in its account:\n",
        );
    }
    for one in left {
        let Left { kind, physical_id, account, region } = one;
        let line = printable(&format!("{kind} {physical_id} (account {account}, {region})"));
        text.push_str(&format!("  {line}\n      {}\n", printable(&command(one))));
    }
    text + "\nThe artifacts buckets (stack landfall-artifacts) and the landing buckets will stay too.\n"
}

fn command(left: &Left) -> String {
    let Left { kind, physical_id: id, region, .. } = left;
    match kind.as_str() {
        "AWS::DynamoDB::Table" => {
            format!("aws dynamodb delete-table --table-name {id} --region {region}")
        }
        // Without `--force`, because nobody here knows what else is in it.
        "AWS::S3::Bucket" => format!("aws s3 rb s3://{id} --region {region}   # once it is empty"),
        "AWS::SQS::Queue" => format!("aws sqs delete-queue --queue-url {id} --region {region}"),
        "AWS::Logs::LogGroup" => {
            format!("aws logs delete-log-group --log-group-name {id} --region {region}")
        }
        "AWS::KMS::Key" => format!(
            "aws kms schedule-key-deletion --key-id {id} --region {region}   # makes what it encrypted unreadable"
        ),
        _ => format!(
            "aws cloudcontrol delete-resource --type-name {kind} --identifier {id} --region {region}"
        ),
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn what_stays_is_told_with_what_removes_it() {
        let left = |kind: &str, physical_id: &str| Left {
            kind: kind.to_owned(),
            physical_id: physical_id.to_owned(),
            account: "111111111111".to_owned(),
            region: "eu-west-1".to_owned(),
        };
        let all = [
            left("AWS::DynamoDB::Table", "landfall-ledger"),
            left("AWS::S3::Bucket", "landfall-manifests"),
            left("AWS::Glue::Registry", "r"),
        ];
        expect![[r#"

            These will stay, with their contents. To remove one, run its command in its account:
              AWS::DynamoDB::Table landfall-ledger (account 111111111111, eu-west-1)
                  aws dynamodb delete-table --table-name landfall-ledger --region eu-west-1
              AWS::S3::Bucket landfall-manifests (account 111111111111, eu-west-1)
                  aws s3 rb s3://landfall-manifests --region eu-west-1   # once it is empty
              AWS::Glue::Registry r (account 111111111111, eu-west-1)
                  aws cloudcontrol delete-resource --type-name AWS::Glue::Registry --identifier r --region eu-west-1

            The artifacts buckets (stack landfall-artifacts) and the landing buckets will stay too.
        "#]]
        .assert_eq(&shown(&all));
    }
}
