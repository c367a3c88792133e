use serde_json::json;

use super::*;

const KEY: &str = "arn:aws:kms:eu-west-1:111111111111:key/1234abcd-12ab-34cd-56ef-1234567890ab";
const ROLE: &str = "arn:aws:iam::111111111111:role/landfall/landfall-reader";
const ROOT: &str = "arn:aws:iam::111111111111:root";

fn role() -> RoleArn<'static> {
    RoleArn::parse(ROLE).expect("a role")
}

fn judge(statements: Value) -> Verdict {
    let policy = json!({ "Version": "2012-10-17", "Id": "key", "Statement": statements });
    admits(&policy.to_string(), KEY, &role())
}

/// Returns a statement that allows everything to `principal`, changed by `change`.
fn allow(principal: Value, change: Value) -> Value {
    let mut statement = json!({
        "Sid": "Enable", "Effect": "Allow", "Principal": principal, "Action": "kms:*", "Resource": "*",
    });
    for (element, value) in change.as_object().expect("elements") {
        statement[element] = value.clone();
    }
    statement
}

fn to_root(change: Value) -> Value {
    allow(json!({ "AWS": ROOT }), change)
}

fn cannot_tell(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::CannotTell(why) if !why.is_empty())
}

#[test]
fn the_default_policy_leaves_it_to_identity_policies() {
    let admitted = Verdict::Admitted(Grantee::Account);
    assert_eq!(judge(to_root(json!({}))), admitted);
    assert_eq!(judge(json!([allow(json!({ "AWS": "111111111111" }), json!({}))])), admitted);
}

#[test]
fn another_account_is_not_the_roles() {
    for principal in [
        "arn:aws:iam::333333333333:root",
        "333333333333",
        "arn:aws-cn:iam::111111111111:root",
        "arn:aws:iam::111111111111:role/landfall-reader",
        "arn:aws:iam::111111111111:user/root",
        // The unique ID that replaces a role's ARN once the role is deleted.
        "AROA1234567890EXAMPLE",
    ] {
        let verdict = judge(json!([allow(json!({ "AWS": principal }), json!({}))]));
        assert_eq!(verdict, Verdict::NotAdmitted, "{principal}");
    }
}

#[test]
fn a_key_of_another_account_can_admit_the_roles_account() {
    let key = KEY.replace("111111111111", "999999999999");
    let policy = json!({ "Statement": [
        allow(json!({ "AWS": "arn:aws:iam::999999999999:root" }), json!({})),
        to_root(json!({ "Action": ["kms:Decrypt", "kms:DescribeKey"] })),
    ] });
    let verdict = admits(&policy.to_string(), &key, &role());
    assert_eq!(verdict, Verdict::Admitted(Grantee::Account));
}

#[test]
fn the_role_itself_can_be_among_the_key_users() {
    let users = json!({ "AWS": ["arn:aws:iam::111111111111:role/other", ROLE] });
    let use_it = json!({ "Action": ["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*"] });
    assert_eq!(judge(json!([allow(users, use_it)])), Verdict::Admitted(Grantee::Role));
}

#[test]
fn administrators_who_may_not_decrypt_admit_nobody_to_it() {
    let manage = json!({ "Action": [
        "kms:Create*", "kms:Describe*", "kms:Enable*", "kms:List*", "kms:Put*", "kms:Update*",
        "kms:Revoke*", "kms:Disable*", "kms:Get*", "kms:Delete*", "kms:ScheduleKeyDeletion",
    ] });
    assert_eq!(judge(json!([to_root(manage)])), Verdict::NotAdmitted);
}

#[test]
fn actions_are_patterns_without_case() {
    for (action, is_hit) in [
        ("*", true),
        ("kms:*", true),
        ("KMS:decrypt", true),
        ("kms:De*", true),
        ("kms:De?rypt", true),
        ("kms:*crypt", true),
        ("kms:Decrypt*", true),
        ("kms:Decrypt?", false),
        ("kms:Encrypt", false),
        ("s3:*", false),
        ("Decrypt", false),
        ("", false),
    ] {
        let verdict = judge(to_root(json!({ "Action": [action] })));
        let expected =
            if is_hit { Verdict::Admitted(Grantee::Account) } else { Verdict::NotAdmitted };
        assert_eq!(verdict, expected, "{action}");
    }
    assert!(cannot_tell(&judge(to_root(json!({ "Action": "k*:Decrypt" })))));
}

#[test]
fn what_not_action_excepts_is_not_allowed() {
    let but = |action: &str| {
        let mut statement = to_root(json!({ "NotAction": action }));
        statement.as_object_mut().expect("a statement").remove("Action");
        judge(statement)
    };
    assert_eq!(but("kms:De*"), Verdict::NotAdmitted);
    assert_eq!(but("kms:ScheduleKeyDeletion"), Verdict::Admitted(Grantee::Account));
    assert!(cannot_tell(&judge(to_root(json!({ "NotAction": "kms:Encrypt" })))));
}

#[test]
fn the_policy_of_s3s_own_key_admits_the_callers_of_the_account() {
    let through = |via: &str, caller: &str| {
        judge(allow(
            json!({ "AWS": "*" }),
            json!({
                "Action": ["kms:Encrypt", "kms:Decrypt", "kms:GenerateDataKey*", "kms:DescribeKey"],
                "Condition": { "StringEquals": {
                    "kms:ViaService": via, "kms:CallerAccount": caller } },
            }),
        ))
    };
    let admitted = Verdict::Admitted(Grantee::Anyone);
    assert_eq!(through("s3.eu-west-1.amazonaws.com", "111111111111"), admitted);
    for (via, caller) in [
        ("s3.eu-west-1.amazonaws.com", "222222222222"),
        ("s3.us-east-1.amazonaws.com", "111111111111"),
        ("secretsmanager.eu-west-1.amazonaws.com", "111111111111"),
        // `StringEquals` doesn't read patterns.
        ("s3.*.amazonaws.com", "111111111111"),
    ] {
        assert_eq!(through(via, caller), Verdict::NotAdmitted, "{via} {caller}");
    }
    assert_eq!(judge(allow(json!("*"), json!({}))), admitted);
}

#[test]
fn conditions_compare_patterns_and_negations_as_iam_does() {
    for (operator, key, value, holds) in [
        ("StringLike", "kms:ViaService", json!(["ec2.*", "s3.*.amazonaws.com"]), true),
        ("StringLikeIfExists", "KMS:viaservice", json!("s3.*"), true),
        ("StringLike", "kms:ViaService", json!("s3.us-*.amazonaws.com"), false),
        ("StringNotLike", "kms:ViaService", json!("s3.*"), false),
        ("StringNotEquals", "kms:CallerAccount", json!(["222222222222", "333333333333"]), true),
        ("StringNotEquals", "kms:CallerAccount", json!(["222222222222", "111111111111"]), false),
        ("StringEquals", "aws:PrincipalAccount", json!(111_111_111_111_u64), true),
        ("ArnLike", "aws:PrincipalArn", json!("arn:aws:iam::111111111111:role/landfall/*"), true),
        ("ArnLike", "aws:PrincipalArn", json!("arn:aws:iam::*:role/*reader"), true),
        // A pattern for an ARN doesn't match across colons.
        ("ArnLike", "aws:PrincipalArn", json!("arn:*reader"), false),
        ("StringLike", "aws:PrincipalArn", json!("arn:*reader"), true),
        ("ArnNotEquals", "aws:PrincipalArn", json!(ROLE), false),
    ] {
        let verdict = judge(to_root(json!({ "Condition": { operator: { key: value } } })));
        let expected =
            if holds { Verdict::Admitted(Grantee::Account) } else { Verdict::NotAdmitted };
        assert_eq!(verdict, expected, "{operator} {key} {value}");
    }
}

#[test]
fn what_is_not_understood_is_neither_admitted_nor_refused() {
    for change in [
        json!({ "Condition": { "StringEquals": { "aws:PrincipalOrgID": "o-1" } } }),
        json!({ "Condition": { "StringLike": { "kms:EncryptionContext:aws:s3:arn": "*" } } }),
        json!({ "Condition": { "Bool": { "kms:GrantIsForAWSResource": true } } }),
        json!({ "Condition": { "ForAnyValue:StringEquals": { "kms:CallerAccount": "111111111111" } } }),
        json!({ "Condition": { "StringEquals": { "kms:CallerAccount": "${aws:PrincipalAccount}" } } }),
        json!({ "Condition": { "StringEquals": { "kms:CallerAccount": [] } } }),
        json!({ "Condition": { "StringEquals": "kms:CallerAccount" } }),
        json!({ "Condition": ["StringEquals"] }),
        json!({ "Resource": "arn:aws:kms:*:111111111111:key/*" }),
        json!({ "Principal": { "AWS": "arn:aws:sts::111111111111:assumed-role/landfall-reader/x" } }),
        json!({ "Principal": { "AWS": "arn:aws:iam::111111111111:role/*" } }),
        json!({ "Principal": { "Anything": "*" } }),
        json!({ "Principal": null, "NotPrincipal": { "AWS": "222222222222" } }),
        json!({ "Effect": "allow" }),
        json!({ "Unless": {} }),
    ] {
        let statement = to_root(change);
        let verdict = judge(json!([statement]));
        assert!(cannot_tell(&verdict), "{statement}: {verdict:?}");
    }
    for text in ["", "[]", "no policy", r#"{"Statement":["x"]}"#] {
        assert!(cannot_tell(&admits(text, KEY, &role())), "{text}");
    }
}

#[test]
fn one_thing_that_does_not_fit_outweighs_what_is_not_understood() {
    let condition = json!({ "Condition": { "StringEquals": {
        "aws:PrincipalOrgID": "o-1", "kms:CallerAccount": "222222222222" } } });
    assert_eq!(judge(to_root(condition)), Verdict::NotAdmitted);
    let grants = json!({
        "Action": "kms:CreateGrant", "Condition": { "Bool": { "kms:GrantIsForAWSResource": true } } });
    assert_eq!(judge(to_root(grants.clone())), Verdict::NotAdmitted);
    let verdict = judge(json!([to_root(grants), to_root(json!({}))]));
    assert_eq!(verdict, Verdict::Admitted(Grantee::Account));
}

#[test]
fn a_statement_without_a_resource_or_for_another_has_no_effect() {
    for resource in [json!(null), json!([]), json!("arn:aws:kms:eu-west-1:111111111111:key/other")]
    {
        let mut statement = to_root(json!({ "Resource": resource }));
        if resource.is_null() {
            statement.as_object_mut().expect("a statement").remove("Resource");
        }
        assert_eq!(judge(statement), Verdict::NotAdmitted, "{resource}");
    }
    assert_eq!(judge(to_root(json!({ "Resource": KEY }))), Verdict::Admitted(Grantee::Account));
}

#[test]
fn services_and_federated_users_are_not_the_role() {
    let others =
        json!({ "Service": "s3.amazonaws.com", "Federated": "cognito-identity.amazonaws.com" });
    assert_eq!(judge(allow(others, json!({}))), Verdict::NotAdmitted);
    assert_eq!(judge(json!([])), Verdict::NotAdmitted);
}

#[test]
fn a_statement_that_denies_comes_before_all_that_allow() {
    let denied = |principal: Value, condition: Value| {
        let deny = json!({ "Sid": "Keep", "Effect": "Deny", "Condition": condition });
        judge(json!([to_root(json!({})), allow(principal, deny)]))
    };
    let refused = Verdict::Denied("Keep".to_owned());
    for principal in
        [json!("*"), json!({ "AWS": ["*"] }), json!({ "AWS": ROOT }), json!({ "AWS": ROLE })]
    {
        assert_eq!(denied(principal, json!({})), refused);
    }
    let others_only = json!({ "StringNotEquals": { "kms:CallerAccount": "111111111111" } });
    assert_eq!(denied(json!("*"), others_only), Verdict::Admitted(Grantee::Account));
    let not_ours = json!({ "ArnNotLike": { "aws:PrincipalArn": "arn:aws:iam::*:role/admin" } });
    assert_eq!(denied(json!("*"), not_ours), refused);
    let plain = json!({ "Bool": { "aws:SecureTransport": "false" } });
    assert!(cannot_tell(&denied(json!("*"), plain)));
    let other = json!({ "AWS": "arn:aws:iam::111111111111:role/other" });
    assert_eq!(denied(other, json!({})), Verdict::Admitted(Grantee::Account));
}

#[test]
fn a_refusal_without_a_sid_is_told_by_its_place() {
    let deny = allow(json!("*"), json!({ "Effect": "Deny", "Sid": "" }));
    assert_eq!(judge(json!([to_root(json!({})), deny])), Verdict::Denied("number 2".to_owned()));
}

#[test]
fn the_statement_to_add_admits_this_role_and_no_other() {
    let added = statement(&role());
    assert_eq!(
        added,
        json!({
            "Sid": added["Sid"],
            "Effect": "Allow",
            "Principal": { "AWS": [ROOT] },
            "Action": ["kms:Decrypt"],
            "Resource": ["*"],
            "Condition": {
                "ArnEquals": { "aws:PrincipalArn": [ROLE] },
                "StringLike": { "kms:ViaService": ["s3.*"] },
            },
        })
    );
    assert_eq!(judge(json!([added])), Verdict::Admitted(Grantee::Account));
    let other = RoleArn::parse("arn:aws:iam::111111111111:role/landfall/other").expect("a role");
    let policy = json!({ "Statement": [added] }).to_string();
    assert_eq!(admits(&policy, KEY, &other), Verdict::NotAdmitted);
    assert_ne!(statement(&other)["Sid"], added["Sid"]);
}

#[test]
fn the_statement_to_add_fits_every_partition() {
    let arn = "arn:aws-cn:iam::111111111111:role/landfall/landfall-reader";
    let role = RoleArn::parse(arn).expect("a role");
    let key = "arn:aws-cn:kms:cn-north-1:111111111111:key/1";
    let policy = |statement: Value| json!({ "Statement": statement }).to_string();
    let verdict = admits(&policy(statement(&role)), key, &role);
    assert_eq!(verdict, Verdict::Admitted(Grantee::Account));
    // The code doesn't rely on which of the suffixes S3 has in that partition.
    let exact = allow(
        json!("*"),
        json!({ "Condition": { "StringEquals": {
            "kms:ViaService": "s3.cn-north-1.amazonaws.com.cn" } } }),
    );
    assert!(cannot_tell(&admits(&policy(exact), key, &role)));
}
