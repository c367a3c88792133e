//! The ARNs that Landfall reads, each kind with its own parser, and the names in them.
//!
//! A parser accepts only an ARN that names exactly one resource: no wildcard, no policy variable and no
//! alias. An ARN that it accepts can go into a policy unchanged.

use crate::partition::{dns_suffix, is_region};

/// The parts of `arn:partition:iam::account:role/path/name`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RoleArn<'a> {
    /// The partition, such as `aws` or `aws-cn`.
    pub partition: &'a str,
    /// The account ID: 12 digits.
    pub account: &'a str,
    /// The name with its path, without a leading slash.
    pub name: &'a str,
}

impl<'a> RoleArn<'a> {
    /// Splits an ARN into its parts. Returns `None` if it isn't the ARN of a role.
    pub fn parse(text: &'a str) -> Option<Self> {
        let [partition, "iam", "", account, resource] = fields(text)? else {
            return None;
        };
        let name = resource.strip_prefix("role/")?;
        (is_account(account) && is_role_name(name)).then_some(Self { partition, account, name })
    }
}

/// The parts of `arn:partition:iam::account:policy/path/name`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PolicyArn<'a> {
    /// The partition, such as `aws` or `aws-cn`.
    pub partition: &'a str,
    /// The account ID (12 digits), or `aws` for a policy that every account has.
    pub account: &'a str,
    /// The name with its path, without a leading slash.
    pub name: &'a str,
}

impl<'a> PolicyArn<'a> {
    /// Splits an ARN into its parts. Returns `None` if it isn't the ARN of a managed policy.
    pub fn parse(text: &'a str) -> Option<Self> {
        let [partition, "iam", "", account, resource] = fields(text)? else {
            return None;
        };
        let name = resource.strip_prefix("policy/")?;
        let is_fine = (account == "aws" || is_account(account)) && is_below_path(name, 128);
        is_fine.then_some(Self { partition, account, name })
    }
}

/// Defines the ARN of a kind of resource that has a region and a name.
macro_rules! regional {
    ($(#[$about:meta])* $kind:ident, $service:literal, $prefix:literal, $is_name:expr) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub struct $kind<'a> {
            /// The partition, such as `aws` or `aws-cn`.
            pub partition: &'a str,
            /// The region, such as `eu-west-1`.
            pub region: &'a str,
            /// The account ID: 12 digits.
            pub account: &'a str,
            /// The name, without what says the kind of resource, such as `key/`.
            pub name: &'a str,
        }

        impl<'a> $kind<'a> {
            /// Splits an ARN into its parts. Returns `None` if it isn't the ARN of such a resource.
            pub fn parse(text: &'a str) -> Option<Self> {
                let [partition, $service, region, account, resource] = fields(text)? else {
                    return None;
                };
                let name = resource.strip_prefix($prefix)?;
                let is_name: fn(&str) -> bool = $is_name;
                let is_fine = is_region(region) && is_account(account) && is_name(name);
                is_fine.then_some(Self { partition, region, account, name })
            }
        }
    };
}

regional! {
    /// `arn:partition:kms:region:account:key/name`: a KMS key, named by its ID. An alias isn't accepted.
    KeyArn, "kms", "key/", |name| is_of(name, 1, 256, b"-")
}

regional! {
    /// `arn:partition:sqs:region:account:name`: a queue.
    QueueArn, "sqs", "", |name| is_of(name.strip_suffix(".fifo").unwrap_or(name), 1, 80, b"-_")
}

regional! {
    /// `arn:partition:sns:region:account:name`: a topic.
    TopicArn, "sns", "", |name| is_of(name.strip_suffix(".fifo").unwrap_or(name), 1, 256, b"-_")
}

regional! {
    /// `arn:partition:events:region:account:event-bus/name`: an event bus.
    BusArn, "events", "event-bus/", is_bus_name
}

regional! {
    /// `arn:partition:dynamodb:region:account:table/name`: a table. The ARN of an index or a stream isn't accepted.
    TableArn, "dynamodb", "table/", |name| is_of(name, 3, 255, b"-_.")
}

regional! {
    /// `arn:partition:secretsmanager:region:account:secret:name-suffix`: a secret, with the six characters
    /// that Secrets Manager adds. A policy that names the secret without them doesn't apply to it.
    SecretArn, "secretsmanager", "secret:", is_secret_name
}

/// Returns the five fields after `arn:`. The last one can contain colons.
fn fields(text: &str) -> Option<[&str; 5]> {
    let fields: Vec<&str> = text.splitn(6, ':').collect();
    let ["arn", partition, service, region, account, resource] = fields[..] else {
        return None;
    };
    dns_suffix(partition).map(|_| [partition, service, region, account, resource])
}

/// Returns `true` if `text` can be the name of an event bus: EventBridge allows 1 to 256 letters, digits and
/// `/._-`.
pub fn is_bus_name(text: &str) -> bool {
    is_of(text, 1, 256, b"/._-")
}

/// Returns `true` if `text` is 1 to 512 letters, digits and `/_+=.@-`, then a dash, then six letters or digits.
fn is_secret_name(text: &str) -> bool {
    text.rsplit_once('-')
        .is_some_and(|(name, suffix)| is_of(name, 1, 512, b"/_+=.@-") && is_of(suffix, 6, 6, b""))
}

/// Returns `true` if `text` consists of `min` to `max` letters, digits and characters of `others`.
fn is_of(text: &str, min: usize, max: usize, others: &[u8]) -> bool {
    (min..=max).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || others.contains(&b))
}

/// Returns `true` if `text` can be a role's name, with or without its path before it.
///
/// IAM allows names of 1 to 64 characters of `[\w+=,.@-]`, and paths of printable ASCII between slashes of at
/// most 512 characters. This function also refuses a path with `*` or `?`, because a condition on
/// `aws:PrincipalArn` would read it as a pattern.
pub fn is_role_name(text: &str) -> bool {
    is_below_path(text, 64)
}

/// Returns `true` if `text` is a name that IAM allows, of at most `max` characters, with or without its path
/// before it.
fn is_below_path(text: &str, max: usize) -> bool {
    let is_segment =
        |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_graphic() && !b"*?".contains(&b));
    let (path, name) = match text.rsplit_once('/') {
        Some((path, name)) => (Some(path), name),
        None => (None, text),
    };
    is_of(name, 1, max, b"_+=,.@-")
        && path.is_none_or(|path| path.len() <= 510 && path.split('/').all(is_segment))
}

/// Returns `true` if `text` is an account ID: 12 digits.
pub fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arns_of_roles_are_taken_apart() {
        assert_eq!(
            RoleArn::parse("arn:aws-cn:iam::222222222222:role/team/landfall-starter"),
            Some(RoleArn {
                partition: "aws-cn",
                account: "222222222222",
                name: "team/landfall-starter"
            })
        );
        for text in [
            "",
            "arn:aws:iam::222222222222:role/",
            "arn:aws:iam::222222222222:user/x",
            "arn:aws:iam::2222:role/x",
            "arn:aws:sts::222222222222:assumed-role/x/y",
            "arn:zzz:iam::222222222222:role/x",
            "arn:aws:iam::222222222222:role/a//b",
            "arn:aws:iam::222222222222:role//b",
            "arn:awsx:iam::222222222222:role/b",
            "arn:aws:iam::222222222222:role/*",
            "arn:aws:iam::222222222222:role/team?/x",
        ] {
            assert_eq!(RoleArn::parse(text), None, "{text}");
        }
    }

    #[test]
    fn the_arn_of_a_secret_is_whole() {
        let arn =
            "arn:aws-cn:secretsmanager:cn-north-1:111111111111:secret:team/lineage-key-a1B2c3";
        let expected = SecretArn {
            partition: "aws-cn",
            region: "cn-north-1",
            account: "111111111111",
            name: "team/lineage-key-a1B2c3",
        };
        assert_eq!(SecretArn::parse(arn), Some(expected));
        for (from, to) in [
            ("-a1B2c3", ""),
            ("-a1B2c3", "-??????"),
            ("-a1B2c3", "-*"),
            ("team/", "${aws:x}"),
            ("secretsmanager", "ssm"),
            ("cn-north-1", ""),
            ("111111111111", ""),
        ] {
            assert_eq!(SecretArn::parse(&arn.replace(from, to)), None, "{to}");
        }
    }

    #[test]
    fn arns_of_what_lies_in_a_region_are_taken_apart() {
        assert_eq!(
            KeyArn::parse("arn:aws-us-gov:kms:us-gov-west-1:111111111111:key/mrk-0aF"),
            Some(KeyArn {
                partition: "aws-us-gov",
                region: "us-gov-west-1",
                account: "111111111111",
                name: "mrk-0aF"
            })
        );
        let names = [
            QueueArn::parse("arn:aws:sqs:eu-west-1:111111111111:a_b.fifo").map(|arn| arn.name),
            TopicArn::parse("arn:aws:sns:eu-west-1:111111111111:a-b").map(|arn| arn.name),
            BusArn::parse("arn:aws:events:eu-west-1:111111111111:event-bus/aws.partner/x/y")
                .map(|arn| arn.name),
            TableArn::parse("arn:aws:dynamodb:eu-west-1:111111111111:table/a.b-c")
                .map(|arn| arn.name),
            PolicyArn::parse("arn:aws:iam::aws:policy/service-role/Some+Policy")
                .map(|arn| arn.name),
        ];
        let all = ["a_b.fifo", "a-b", "aws.partner/x/y", "a.b-c", "service-role/Some+Policy"];
        assert_eq!(names, all.map(Some));
    }

    #[test]
    fn what_names_no_single_resource_has_no_arn() {
        let fields = ["arn:aws:", ":eu-west-1:111111111111:"];
        let is_read = |service: &str, text: &str| match service {
            "kms" => KeyArn::parse(text).is_some(),
            "sqs" => QueueArn::parse(text).is_some(),
            "sns" => TopicArn::parse(text).is_some(),
            "events" => BusArn::parse(text).is_some(),
            "dynamodb" => TableArn::parse(text).is_some(),
            _ => PolicyArn::parse(text).is_some(),
        };
        for (service, resource) in [
            ("kms", "key/k"),
            ("sqs", "queue"),
            ("sns", "topic"),
            ("events", "event-bus/bus"),
            ("dynamodb", "table/table"),
        ] {
            let fine = [fields[0], service, fields[1], resource].concat();
            assert!(is_read(service, &fine), "{fine}");
            let (before_resource, long) = (fine.len() - resource.len(), "x".repeat(257));
            for wrong in [
                fine.replace("arn:", ""),
                fine.replace("aws", "aws-"),
                fine.replace("aws", "awsx"),
                fine.replace(service, "other"),
                fine.replace("eu-west-1", ""),
                fine.replace("eu-west-1", "*"),
                fine.replace("eu-west-1", "eu-${aws:x}-1"),
                fine.replace("111111111111", ""),
                fine.replace("111111111111", "11111111111a"),
                fine.replace("111111111111", "*"),
                fine[..before_resource].to_owned(),
                format!("{fine}*"),
                format!("{fine}?"),
                format!("{fine}${{aws:PrincipalTag/k}}"),
                format!("{fine} "),
                format!("{fine}\u{e9}"),
                format!("{fine}:x"),
                format!("{fine}{long}"),
            ] {
                assert!(!is_read(service, &wrong), "{wrong}");
            }
        }
        for wrong in [
            "arn:aws:kms:eu-west-1:111111111111:alias/k",
            "arn:aws:kms:eu-west-1:111111111111:key/k/k",
            "arn:aws:kms:eu-west-1:111111111111:key/",
            "arn:aws:dynamodb:eu-west-1:111111111111:table/claims/index/x",
            "arn:aws:iam::111111111111:policy/",
            "arn:aws:iam::111111111111:policy/a*",
            "arn:aws:iam::111111111111:policy/*/a",
            "arn:aws:iam::111111111111:policy//a",
            "arn:aws:iam:eu-west-1:111111111111:policy/a",
            "arn:aws:iam::other:policy/a",
            "arn:aws:iam::111111111111:role/a",
        ] {
            let service = wrong.split(':').nth(2).expect("a service");
            assert!(!is_read(service, wrong), "{wrong}");
        }
    }
}
