//! ARNs of IAM roles, and the names in them.

/// `arn:partition:iam::account:role/path/name`, taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RoleArn<'a> {
    pub partition: &'a str,
    /// 12 digits.
    pub account: &'a str,
    /// With its path, without a slash before it.
    pub name: &'a str,
}

impl<'a> RoleArn<'a> {
    /// Takes an ARN apart; `None` if it is not that of a role.
    pub fn parse(text: &'a str) -> Option<Self> {
        let fields: Vec<&str> = text.splitn(6, ':').collect();
        let ["arn", partition, "iam", "", account, resource] = fields[..] else {
            return None;
        };
        let name = resource.strip_prefix("role/")?;
        let is_fine = partition.starts_with("aws") && is_account(account) && is_role_name(name);
        is_fine.then_some(Self { partition, account, name })
    }
}

/// Whether `text` can be a role's name, its path before it: IAM admits 1 to 64 of
/// `[\w+=,.@-]`, and paths of printable ASCII between slashes, of 512 characters at most. A path with
/// `*` or `?` is refused: a condition on `aws:PrincipalArn` would take it for a pattern.
pub fn is_role_name(text: &str) -> bool {
    let (path, name) = text.rsplit_once('/').unwrap_or(("", text));
    let is_name = (1..=64).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_+=,.@-".contains(&b));
    let is_segment =
        |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_graphic() && !b"*?".contains(&b));
    is_name && path.len() <= 510 && (path.is_empty() || path.split('/').all(is_segment))
}

/// Whether `text` is an account id.
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
            "arn:aws:iam::222222222222:role/*",
            "arn:aws:iam::222222222222:role/team?/x",
        ] {
            assert_eq!(RoleArn::parse(text), None, "{text}");
        }
    }
}
