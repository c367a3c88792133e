//! What IAM's policy simulation says, over HTTP.

use std::sync::{Arc, Mutex};

use super::*;
use crate::organization::kept;

const ROLE: &str = "arn:aws:iam::111111111111:role/company/admin";

/// Returns an answer with one permission that the organization allows, one that it doesn't, and one outside any organization.
fn simulated() -> ResponseTemplate {
    let detail = |allowed: &str| {
        format!(
            "<OrganizationsDecisionDetail><AllowedByOrganizations>{allowed}</AllowedByOrganizations>\
             </OrganizationsDecisionDetail>"
        )
    };
    let results = [
        ("glue:GetJob", detail("true")),
        ("sqs:GetQueueAttributes", detail("false")),
        ("iam:GetRole", String::new()),
    ];
    let member = |(action, detail): (&str, String)| {
        format!(
            "<member><EvalActionName>{action}</EvalActionName><EvalDecision>implicitDeny</EvalDecision>{detail}</member>"
        )
    };
    let members: String = results.into_iter().map(member).collect();
    ResponseTemplate::new(200).set_body_string(format!(
        "<SimulatePrincipalPolicyResponse><SimulatePrincipalPolicyResult><EvaluationResults>{members}\
         </EvaluationResults><IsTruncated>false</IsTruncated></SimulatePrincipalPolicyResult>\
         </SimulatePrincipalPolicyResponse>"
    ))
}

fn role() -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_string(format!(
        "<GetRoleResponse><GetRoleResult><Role><Path>/company/</Path><RoleName>admin</RoleName><RoleId>AROA1</RoleId>\
         <Arn>{ROLE}</Arn><CreateDate>2026-01-31T12:00:00Z</CreateDate></Role></GetRoleResult></GetRoleResponse>"
    ))
}

#[tokio::test]
async fn what_the_organization_keeps_from_a_role_or_a_user_is_what_the_simulation_says() {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&asked);
    let (_server, clients) = clients(move |request| {
        let body = String::from_utf8_lossy(&request.body).into_owned();
        let answer = if body.contains("Action=GetRole&") { role() } else { simulated() };
        heard.lock().expect("nobody panics with it").push(body);
        answer
    })
    .await;
    let permissions = BTreeSet::from(["glue:GetJob", "iam:GetRole", "sqs:GetQueueAttributes"]);
    let user = "arn:aws:iam::111111111111:user/team/ada";
    let session = "arn:aws:sts::111111111111:assumed-role/admin/ada";
    for (caller, principal) in [(session, ROLE), (user, user)] {
        let found = kept(&clients, caller, &permissions).await;
        assert_eq!(found, Ok(BTreeSet::from(["sqs:GetQueueAttributes".to_owned()])), "{caller}");
        let asked = std::mem::take(&mut *asked.lock().expect("nobody panics with it"));
        let last = asked.last().expect("a call");
        let escaped = principal.replace(':', "%3A").replace('/', "%2F");
        assert!(last.contains(&format!("PolicySourceArn={escaped}&")), "{last}");
        assert!(last.contains("ActionNames.member.3=sqs%3AGetQueueAttributes"), "{last}");
    }
}

#[tokio::test]
async fn who_may_not_ask_the_simulation_learns_nothing_from_it() {
    let (_server, clients) = clients(|request| denied(service(request))).await;
    let permissions = BTreeSet::from(["glue:GetJob"]);
    for (caller, expected) in [
        ("arn:aws:iam::111111111111:user/ada", "iam:SimulatePrincipalPolicy"),
        ("arn:aws:sts::111111111111:assumed-role/admin/ada", "iam:GetRole"),
    ] {
        let found = kept(&clients, caller, &permissions).await;
        assert_eq!(found, Err(Unseen::Denied(expected.to_owned())), "{caller}");
    }
    let root = kept(&clients, "arn:aws:iam::111111111111:root", &permissions).await;
    assert!(matches!(root, Err(Unseen::Failed(_))), "{root:?}");
}
