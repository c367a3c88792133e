//! The table of what can be wrong. The rows are in the direction of the data.

use super::Severity;

/// A row of the table. `{name}` in the fix and the command stands for an identifier.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row {
    pub(super) code: &'static str,
    pub(super) severity: Severity,
    pub(super) cause: &'static str,
    pub(super) fix: &'static str,
    pub(super) command: Option<&'static str>,
}

/// Makes an enum of the table's rows, so that no row lacks a text and none is written twice.
macro_rules! table {
    ($($fault:ident: $code:literal, $severity:ident, $cause:literal, $fix:literal, $command:expr;)*) => {
        /// What can be wrong.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, strum::VariantArray)]
        pub(in crate::chain) enum Fault {
            $($fault,)*
        }

        impl Fault {
            pub(in crate::chain) const ALL: &[Self] = <Self as strum::VariantArray>::VARIANTS;

            pub(super) fn row(self) -> Row {
                let (code, severity, cause, fix, command) = match self {
                    $(Self::$fault => ($code, Severity::$severity, $cause, $fix, $command),)*
                };
                Row { code, severity, cause, fix, command }
            }
        }
    };
}

/// What to do when something is gone that a stack made.
const DEPLOY_REPAIR: Option<&str> = Some("{deploy} --repair");

table! {
    CouldNotLook: "could_not_look", Info,
        "Nobody could look, so the link may be broken or not.",
        "Look again with credentials that may. `landfall doctor --print-policy {side}` prints the least policy that is needed.",
        None;

    DeniedByOrganization: "denied_by_organization", Info,
        "A service control policy or a resource control policy of the organization denies the look, so the link may be broken or not. No policy of the account can allow what the organization denies.",
        "Ask the organization's administrators whether it must deny `{permission}` here. It may deny Landfall's functions the same, and more: `landfall doctor` with `--probe` shows whether the trigger can still start jobs.",
        None;

    StackMissing: "stack_missing", High,
        "The stack isn't there, so nothing that it makes is there.",
        "Deploy both accounts. If the stack has another name or region, name it to the doctor.",
        Some("{deploy}");
    StackInProgress: "stack_in_progress", Info,
        "Something is changing the stack at this moment, so what you see of it can be half done.",
        "Wait until the stack has settled, then look again.",
        Some("aws cloudformation describe-stack-events --stack-name {resource} --region {region} --max-items 20");
    StackUnsettled: "stack_unsettled", Medium,
        "The last change of the stack failed. CloudFormation went back to the state before, or stopped on the way.",
        "Find the first event that failed and its reason, mend that, then deploy again.",
        Some("aws cloudformation describe-stack-events --stack-name {resource} --region {region} --max-items 50");
    RoutesNotDeployed: "routes_not_deployed", High,
        "The functions work by other routes than those you judge by: somebody changed the file and didn't deploy it, or deployed another one.",
        "Deploy these routes, or give the doctor the routes file that is deployed.",
        Some("{deploy}");

    ObjectMissing: "object_missing", High,
        "S3 has no such object now, or no such bucket, and the ledger knows nothing of one.",
        "Check the spelling: nothing in the URI is decoded. If somebody deleted the object before its event was read, upload it again.",
        Some("aws s3api list-object-versions --bucket {bucket} --prefix {key}");
    ObjectGone: "object_gone", Info,
        "The ledger has the object, but S3 doesn't any more: somebody deleted it, or a lifecycle rule did.",
        "A job can still read the version that arrived, if the bucket has versioning. Otherwise, upload the object again.",
        Some("aws s3api list-object-versions --bucket {bucket} --prefix {key}");
    ObjectNotTaken: "object_not_taken", High,
        "No route takes the object, so nothing starts for it.",
        "Change the route or the object's key: the check says why each route of the bucket leaves the object alone.",
        None;

    BucketMissing: "bucket_missing", High,
        "S3 knows no bucket of this name, or another account owns it.",
        "Correct the bucket's name in the routes, or create the bucket.",
        None;
    BucketInOtherRegion: "bucket_in_other_region", High,
        "S3 can only notify a queue in the bucket's own region, and the stack is in another one.",
        "Deploy Landfall in the bucket's region too, with a routes file for the buckets of that region.",
        None;
    BucketVersioningOff: "bucket_versioning_off", Medium,
        "Without versioning, a job can't read exactly what arrived: if somebody overwrites or deletes the object first, the data is lost.",
        "Switch versioning on, with a lifecycle rule that removes old versions.",
        Some("aws s3api put-bucket-versioning --bucket {resource} --versioning-configuration Status=Enabled");
    BucketOwnerNotEnforced: "bucket_owner_not_enforced", Low,
        "Objects that other accounts upload can belong to those accounts. Then no policy of this account lets anybody read them.",
        "Let the bucket's owner own all its objects. This switches ACLs off, so make sure that nobody needs them.",
        Some("aws s3api put-bucket-ownership-controls --bucket {resource} --ownership-controls 'Rules=[{ObjectOwnership=BucketOwnerEnforced}]'");
    BucketPublicAccessOpen: "bucket_public_access_open", Medium,
        "Nothing of the bucket's own keeps a policy or an ACL from letting everybody read what lands. If the account has a public access block, that one still does.",
        "Block public access to the bucket. Landfall needs none. Make sure that nobody else does.",
        Some("aws s3api put-public-access-block --bucket {resource} --public-access-block-configuration BlockPublicAcls=true,IgnorePublicAcls=true,BlockPublicPolicy=true,RestrictPublicBuckets=true");
    BucketPolicyDenies: "bucket_policy_denies", Medium,
        "The bucket's policy denies reading under a condition that jobs of another account often meet: they have other networks, addresses and organizations than your own applications.",
        "Make sure that the statements {statements} don't apply to the roles that jobs read with, for example with a condition `ArnNotLike` on `aws:PrincipalArn`.",
        Some("aws s3api get-bucket-policy --bucket {resource} --query Policy --output text");
    BucketPolicyUniqueId: "bucket_policy_unique_id", Medium,
        "The bucket's policy names a role or user by its unique ID, because that role or user was deleted. A new one with the same name has another ID, so the statement doesn't apply to it.",
        "Replace {ids} by the ARN of today's role, or remove the statement.",
        Some("aws s3api get-bucket-policy --bucket {resource} --query Policy --output text");
    BucketStatementsNotDeployed: "bucket_statements_not_deployed", High,
        "A route reads by the bucket's policy, and the stack was deployed without the roles that its jobs read with, so it adds no statements for them.",
        "Deploy the routes: the parameter `BucketPolicyJobRoleArns` then names the roles.",
        Some("{deploy}");
    BucketStatementsMissing: "bucket_statements_missing", High,
        "The bucket's policy has none of the statements through which jobs read. A tool that writes a bucket's policy replaces all of it, and probably removed them: Terraform's `aws_s3_bucket_policy` does that.",
        "Put the statements back. Then add them to the other tool's policy, so that it doesn't remove them again: `landfall policies` prints them.",
        DEPLOY_REPAIR;
    BucketStatementsChanged: "bucket_statements_changed", High,
        "The statements through which jobs read aren't those that the routes need. Some job may get no access, and somebody else may get it.",
        "Put the statements right.",
        DEPLOY_REPAIR;
    BucketStatementsWider: "bucket_statements_wider", Critical,
        "The statements through which jobs read admit more roles than the stack names, or to more than the routes need. The chain works all the same.",
        "Find out who widened them and why. Then put them right.",
        DEPLOY_REPAIR;
    BucketStatementsStuck: "bucket_statements_stuck", High,
        "The statements through which jobs read aren't those that the routes need, or can't be told from others, and Landfall can't put the policy right.",
        "Change the policy so that Landfall can: {hint}. Then run `landfall deploy` with `--repair`.",
        Some("aws s3api get-bucket-policy --bucket {resource} --query Policy --output text");
    KeyMissing: "key_missing", High,
        "KMS doesn't know the key of the bucket's default encryption, so uploads fail and nobody can read what it encrypted.",
        "Give the bucket a key that exists, and add it to the parameter `KmsKeyArns` if you set that.",
        Some("aws s3api get-bucket-encryption --bucket {bucket}");
    KeyDisabled: "key_disabled", High,
        "The key of the bucket's default encryption is off. Uploads fail, and nobody can read what the key encrypted.",
        "Enable the key.",
        Some("aws kms enable-key --key-id {resource} --region {region}");
    KeyPendingDeletion: "key_pending_deletion", High,
        "Somebody scheduled the key of the bucket's default encryption for deletion. Nobody can use it now. Once it is deleted, everything that it encrypted is lost.",
        "Cancel the deletion, then enable the key with `aws kms enable-key`.",
        Some("aws kms cancel-key-deletion --key-id {resource} --region {region}");
    KeyUnavailable: "key_unavailable", High,
        "The key of the bucket's default encryption is in a state in which nobody can use it.",
        "Find out why the key is in that state: its material can be missing, or its key store can be disconnected.",
        Some("aws kms describe-key --key-id {resource} --region {region}");
    BucketKeyChanged: "bucket_key_changed", High,
        "The reader role may not decrypt with the bucket's default key, so jobs can't read new objects. The bucket got another key after the last deployment, or somebody took the key from the role.",
        "Let the stack give the role the key. If you set the parameter `KmsKeyArns`, add the key there first.",
        DEPLOY_REPAIR;
    KeyDoesNotAdmit: "key_does_not_admit", High,
        "The policy of the bucket's default key doesn't admit a role that reads what landed. Unless a grant on the key does, that role can't read new objects.",
        "Add this statement to the key's policy: {statement}",
        Some("aws kms get-key-policy --key-id {resource} --policy-name default --query Policy --output text --region {region}");
    KeyDenies: "key_denies", High,
        "A statement in the policy of the bucket's default key denies decrypting to a role that reads what landed. No other statement helps.",
        "Except `{role}` from the statement `{sid}`, or remove the statement.",
        Some("aws kms get-key-policy --key-id {resource} --policy-name default --query Policy --output text --region {region}");
    KeyPolicyUnclear: "key_policy_unclear", Low,
        "The policy of the bucket's default key has conditions that Landfall doesn't understand, so it can't tell whether a role that reads what landed may decrypt.",
        "Make sure that the policy admits `{role}`. This statement certainly does: {statement}",
        Some("aws kms get-key-policy --key-id {resource} --policy-name default --query Policy --output text --region {region}");
    KeyOfOtherAccount: "key_of_other_account", Low,
        "The key of the bucket's default encryption belongs to another account. Its policy must admit the roles that jobs read with, and only that account can change it.",
        "Make sure that the key's policy has the statement in the stack's output `KeyPolicyStatement`.",
        Some("aws cloudformation describe-stacks --stack-name {stack} --region {region} --query 'Stacks[0].Outputs'");
    NotificationMissing: "notification_missing", High,
        "S3 doesn't report uploads to Landfall. A tool that writes the bucket's notifications replaces all of them, and probably removed Landfall's: Terraform's `aws_s3_bucket_notification` does that.",
        "Put the rule back. Then add it to the other tool's configuration, so that it doesn't remove the rule again.",
        DEPLOY_REPAIR;
    NotificationNarrower: "notification_narrower", High,
        "A rule reports some uploads to Landfall, but not all that the routes need: it has another filter, or names fewer events.",
        "If the rule is Landfall's, put it back as it was. If another tool made it, give it the filter and the event `s3:ObjectCreated:*` there.",
        DEPLOY_REPAIR;
    NotificationForeignOverlap: "notification_foreign_overlap", High,
        "Another rule takes the events that the routes need and sends them elsewhere. S3 doesn't accept a second rule for the same keys, so Landfall can't add its own.",
        "Narrow the other rule or the routes' keys, or deploy with `--parameter data:Transport=EventBridge`, which conflicts with no rule.",
        Some("aws s3api get-bucket-notification-configuration --bucket {resource}");
    EventbridgeOff: "eventbridge_off", High,
        "The bucket doesn't send its events to EventBridge. The switch is part of the bucket's notifications: a tool that writes them switches it off unless it knows of it.",
        "Switch it on again. Then switch it on in the other tool's configuration too: `eventbridge = true` in Terraform's `aws_s3_bucket_notification`.",
        DEPLOY_REPAIR;

    RuleMissing: "rule_missing", High,
        "EventBridge has no such rule. CloudFormation doesn't notice that somebody deleted it, so a deployment sees no change.",
        "Create the rule again with the same name, as the stack's template has it, or remove the stacks and deploy anew.",
        Some("aws cloudformation get-template --stack-name {stack} --region {region} --template-stage Processed");
    RuleOfUploadsDisabled: "rule_of_uploads_disabled", High,
        "The rule that sends uploads to the queue of arrivals is off. EventBridge drops the events.",
        "Enable the rule. Files that arrived while it was off start nothing: upload them again.",
        Some("aws events enable-rule --name {resource} --region {region}");
    RuleOfRunsDisabled: "rule_of_runs_disabled", Medium,
        "The rule that reports ended runs is off. The monitor still asks Glue, so batches end late, but they end.",
        "Enable the rule.",
        Some("aws events enable-rule --name {resource} --region {region}");
    ScheduleDisabled: "schedule_disabled", High,
        "The rule that runs the monitor each minute is off. Batches that wait never start, and no run is followed.",
        "Enable the rule. The monitor then does everything that is due.",
        Some("aws events enable-rule --name {resource} --region {region}");
    RuleTargetGone: "rule_target_gone", High,
        "The rule doesn't send any more where it should, so what it matches gets lost.",
        "Add {target} as a target again, as the stack's template has it.",
        Some("aws events list-targets-by-rule --rule {resource} --region {region}");
    RuleLacksBucket: "rule_lacks_bucket", High,
        "The rule's pattern doesn't name a bucket of the routes, so EventBridge drops that bucket's events.",
        "Deploy with the bucket in `LandingBucketNames`. If somebody changed the rule by hand, change its pattern back.",
        Some("aws events describe-rule --name {resource} --region {region}");
    RuleLacksJob: "rule_lacks_job", Low,
        "The rule's pattern doesn't name a job of the routes. The monitor asks Glue about that job's runs, so its batches end late, but they end.",
        "Name the job in the parameter `OtherJobNames` of the analytics account's stack.",
        Some("aws events describe-rule --name {resource} --region {region}");

    QueueMissing: "queue_missing", High,
        "The queue isn't there. CloudFormation doesn't notice that somebody deleted it, so a deployment sees no change.",
        "Create the queue and its policy again with the same name, as the stack's template has them, or remove the stacks and deploy anew.",
        Some("aws cloudformation get-template --stack-name {stack} --region {region} --template-stage Processed");
    QueuePolicyChanged: "queue_policy_changed", High,
        "The queue's policy doesn't let the sender send, so its events get lost.",
        "Add this statement to the queue's policy: {statement}",
        Some("aws sqs get-queue-attributes --queue-url {url} --attribute-names Policy --region {region}");
    QueuePolicyDenies: "queue_policy_denies", Medium,
        "The queue's policy has a statement that denies sending under a condition that Landfall's own policy doesn't have.",
        "Make sure that the statements {statements} don't apply to the sender, or remove them.",
        Some("aws sqs get-queue-attributes --queue-url {url} --attribute-names Policy --region {region}");
    QueuePolicyUniqueId: "queue_policy_unique_id", Medium,
        "The queue's policy names a role or user by its unique ID, because that role or user was deleted. A new one with the same name has another ID, so the statement doesn't apply to it.",
        "Replace {ids} by the ARN of today's role, or remove the statement.",
        Some("aws sqs get-queue-attributes --queue-url {url} --attribute-names Policy --region {region}");
    QueueBacklog: "queue_backlog", Low,
        "Messages wait, and at this moment nobody works on them.",
        "Look again in a minute. If their number doesn't shrink, follow the links after this one.",
        None;
    DeadLetters: "dead_letters", High,
        "Messages failed so often that SQS put them aside. Nothing reads them there, and after 14 days they are lost.",
        "Find out why they failed in the function's log. Then move them back.",
        Some("aws sqs start-message-move-task --source-arn {resource} --region {region}");

    FunctionMissing: "function_missing", High,
        "Lambda has no such function. CloudFormation doesn't notice that somebody deleted it, so a deployment sees no change.",
        "Remove the data account's stack and deploy anew. The tables and the queue of arrivals stay: `landfall destroy --dry-run` shows what does.",
        Some("aws cloudformation detect-stack-drift --stack-name {stack} --region {region}");
    FunctionFailed: "function_failed", High,
        "Lambda can't run the function in its present state.",
        "Mend what Lambda says, then deploy again.",
        Some("aws lambda get-function-configuration --function-name {resource} --region {region}");
    FunctionNotActive: "function_not_active", Low,
        "Lambda is preparing the function, or put it to rest because nothing called it for weeks. The first call can fail.",
        "Look again in a minute.",
        Some("aws lambda get-function-configuration --function-name {resource} --region {region}");
    FunctionInVpc: "function_in_vpc", Low,
        "Somebody put the function into a VPC. From there it reaches AWS only through endpoints or a NAT gateway. Without them, each call ends with a time-out, and nothing says why.",
        "Landfall needs no VPC. If your company does, ask the owners of the network for endpoints of DynamoDB, S3, SQS, STS, EventBridge and Secrets Manager, and of Glue if the jobs are in the same region, or for a NAT gateway. `landfall doctor` with `--probe` shows whether the trigger reaches STS and Glue.",
        Some("aws ec2 describe-vpc-endpoints --filters Name=vpc-id,Values={vpc} --query 'VpcEndpoints[].[ServiceName,State]' --region {region}");
    FunctionConcurrencyZero: "function_concurrency_zero", High,
        "The function's reserved concurrency is 0, so Lambda never runs it. That is how somebody stops a function in an emergency.",
        "Ask who set it and why. Then remove it.",
        Some("aws lambda delete-function-concurrency --function-name {resource} --region {region}");
    MappingMissing: "mapping_missing", High,
        "Nothing feeds the function from the queue: the event source mapping is gone. CloudFormation doesn't notice that somebody deleted it.",
        "Create it again, with the batch size and the concurrency that the stack's parameters have.",
        Some("aws lambda create-event-source-mapping --function-name {function} --event-source-arn {queue} --function-response-types ReportBatchItemFailures --region {region}");
    MappingDisabled: "mapping_disabled", High,
        "The event source mapping is off, so the function doesn't read the queue. The messages wait there for up to 14 days.",
        "Enable the mapping.",
        Some("aws lambda update-event-source-mapping --uuid {uuid} --enabled --region {region}");
    MappingUnsettled: "mapping_unsettled", Info,
        "Lambda is changing the event source mapping at this moment.",
        "Look again in a minute.",
        Some("aws lambda get-event-source-mapping --uuid {uuid} --region {region}");
    MappingFails: "mapping_fails", Medium,
        "Lambda couldn't hand the last messages to the function.",
        "Mend what Lambda says. A missing permission of the function's role on the queue or its key is the usual reason.",
        Some("aws lambda get-event-source-mapping --uuid {uuid} --region {region}");

    AnnouncingIsOff: "announcing_is_off", High,
        "Routes announce their batches (`start.announce`, or `target: none`), and the functions may put no event. So these batches wait, and nothing starts.",
        "Deploy the routes, which sets `AnnouncesBatches=true` of the data account's stack. If somebody set it to `false` on purpose, take `announce` out of the routes.",
        Some("{deploy}");

    TableMissing: "table_missing", High,
        "DynamoDB has no such table. CloudFormation doesn't notice that somebody deleted it, so a deployment sees no change.",
        "Restore the table under the same name from its point-in-time recovery, which keeps a deleted table for 35 days.",
        Some("aws dynamodb list-backups --table-name {resource} --backup-type ALL --region {region}");
    TableNotActive: "table_not_active", High,
        "Nobody can use the table in its present state.",
        "If the state is about encryption, enable the table's key and let its policy admit DynamoDB again. Otherwise, wait.",
        Some("aws dynamodb describe-table --table-name {resource} --region {region}");
    TableItemsStay: "table_items_stay", Low,
        "The table's time to live is off, or goes by another attribute, so DynamoDB removes nothing. Everything works, but the table grows for ever, and so does what it costs.",
        "Switch the time to live on. DynamoDB then removes what has expired within a few days.",
        Some("aws dynamodb update-time-to-live --table-name {resource} --time-to-live-specification Enabled=true,AttributeName=expires --region {region}");

    GrantUnused: "grant_unused", Low,
        "No object has started a batch of this route for a long time (`UnusedDays`). If nobody needs the route, the roles have permissions for nothing: to read its keys and to start its job.",
        "Ask those who upload. If nobody needs the route, remove it from the routes and deploy.",
        None;

    ObjectOnItsWay: "object_on_its_way", Info,
        "The object is so new that its event can still be on its way. Usually it takes seconds.",
        "Look again in a few minutes.",
        Some("landfall find --watch {uri}");
    ObjectForgotten: "object_forgotten", Low,
        "The ledger forgets an arrival some time after its batch is done: after 30 days, unless you configured another time. A job may have read the object long ago.",
        "Look in the trigger's log for the hour in which the object landed.",
        None;
    ObjectNotRecorded: "object_not_recorded", High,
        "A route takes the object, but the ledger doesn't have it, and no link on the way is known to be broken now. The object landed while one was, or its event waits in a queue or a dead-letter queue. S3 announces an object only once.",
        "Look at the queues first. If the event isn't there, a backfill brings the object in, with all others of the route whose keys begin the same. It leaves out what is in a batch already, and what is less than an hour old. With `--dry-run` it only shows them.",
        Some("landfall backfill --route {route} --prefix {key}");

    RoleMissing: "role_missing", High,
        "Somebody deleted the role. Nothing that needs it works until it is back. Batches wait in the ledger meanwhile.",
        "Let the stack that owns the role make it again.",
        DEPLOY_REPAIR;
    RoleNarrower: "role_narrower", High,
        "The role may do less than the routes need, or admits fewer callers.",
        "Let the stack that owns the role put it right.",
        DEPLOY_REPAIR;
    RoleChanged: "role_changed", High,
        "Somebody changed the role's policies. It may lack something that the routes need, and may do something that they don't.",
        "Let the stack that owns the role put it right.",
        DEPLOY_REPAIR;
    TrustUniqueId: "trust_unique_id", High,
        "The role trusts a unique ID instead of a name, because the role or user behind it was deleted. A new one with the same name has another ID, so this role doesn't trust it. Nobody foreign has access.",
        "Let the stack that owns the role put the trust policy right. Landfall's own trust policies name roles in a condition, which survives that.",
        DEPLOY_REPAIR;
    RoleWider: "role_wider", Critical,
        "The role may do more than the routes need, or admits more callers. The chain works all the same.",
        "Find out who widened it and why. Then let the stack that owns the role put it right.",
        DEPLOY_REPAIR;
    BoundaryMissing: "boundary_missing", Critical,
        "Somebody removed the role's permissions boundary, so nothing limits the policies that it gets.",
        "Let the stack that owns the role put the boundary back.",
        DEPLOY_REPAIR;
    BoundaryOther: "boundary_other", Medium,
        "The role has another permissions boundary than the stack gave it, which can admit less or more.",
        "If your company requires that boundary, set the parameter `PermissionsBoundaryArn`. Otherwise, let the stack put the boundary back.",
        DEPLOY_REPAIR;
    RoleNotOurs: "role_not_ours", High,
        "The role's tags don't say that it belongs to this stack, so Landfall doesn't touch it.",
        "Find out who made the role. If it is Landfall's, give it back the tags that begin with `landfall:`. Otherwise, deploy with another `NamePrefix`.",
        Some("aws iam list-role-tags --role-name {role}");
    RoleDetailsDiffer: "role_details_differ", Info,
        "The role has other tags, another description or another longest session than the stack gave it.",
        "Let the stack that owns the role put it right, or leave it.",
        DEPLOY_REPAIR;
    SessionRevoked: "session_revoked", Info,
        "Somebody attached a policy that only denies, such as IAM's `AWSRevokeOlderSessions`: an emergency brake. Landfall leaves it alone.",
        "Ask who attached {brakes} and why. Remove it when the incident is over.",
        Some("aws iam list-role-policies --role-name {role}");
    RoleDeniedEverything: "role_denied_everything", High,
        "Somebody attached AWS's policy `AWSDenyAll` to the role: an emergency brake. Nothing that needs the role works. Landfall leaves the brake alone.",
        "Ask who attached it and why. Detach it when the incident is over.",
        Some("aws iam detach-role-policy --role-name {role} --policy-arn {brake}");
    ReaderDoesNotAdmitJobRole: "reader_does_not_admit_job_role", High,
        "The job runs with a role that the reader role doesn't trust, so the job can't read what landed.",
        "Add the role to the parameter `OtherJobRoleArns`, beside those that it names already, or run the job with one of the trusted roles.",
        Some("{deploy} --parameter data:OtherJobRoleArns={job_role}");

    AccessAnalyzer: "access_analyzer", Critical,
        "IAM Access Analyzer says that the resource lets in somebody whom neither the routes nor the stack name.",
        "Find out who let them in and why, and take it back. If it is intended, archive the finding in Access Analyzer.",
        Some("aws accessanalyzer get-finding --analyzer-arn {analyzer} --id {finding} --region {region}");

    IamEventsNotForwarded: "iam_events_not_forwarded", Low,
        "CloudTrail delivers IAM's events in one region only, and nothing forwards them from there. The auditor learns of a changed or deleted role with its next audit, and not at once.",
        "Deploy again: that creates the stack. If nobody may use that region, deploy with `--without-iam-events`. If you deploy by hand, create the stack from `iam-events.yaml`, or set `ForwardsIamEvents` of the auditor's stack to `false`.",
        Some("{deploy}");
    IamEventsRuleChanged: "iam_events_rule_changed", Low,
        "The rule that forwards IAM's events is gone, or sends them elsewhere. The auditor learns of a changed or deleted role with its next audit, and not at once. CloudFormation doesn't notice, so a deployment sees no change.",
        "Delete the stack `{events_stack}`, which has this rule and its role only. Then deploy again.",
        Some("aws cloudformation delete-stack --stack-name {events_stack} --region {iam_region}");
    IamEventsRuleDisabled: "iam_events_rule_disabled", Low,
        "The rule that forwards IAM's events is off. The auditor learns of a changed or deleted role with its next audit, and not at once.",
        "Enable the rule.",
        Some("aws events enable-rule --name {resource} --region {iam_region}");

    JobMissing: "job_missing", High,
        "Glue has no such job in this account and region. Its batches are parked or wait.",
        "Create the job, or correct the job's name in the routes. Then retry the batches that are parked.",
        Some("aws glue list-jobs --region {region}");
    JobMaxRetries: "job_max_retries", High,
        "Glue itself repeats a failed run of this job, with the arguments of a batch that another process has claimed. Landfall doesn't start such a job if its runs must claim their batches.",
        "Set the job's `MaxRetries` to 0: Landfall retries failed batches by itself. If the job never claims, say so in the route.",
        Some("aws glue get-job --job-name {resource} --region {region} --query Job.MaxRetries");
    JobConcurrencyLow: "job_concurrency_low", Low,
        "Glue allows fewer runs of the job at once than its routes start. The other batches wait, and nothing is lost.",
        "Raise the job's `MaxConcurrentRuns`, or lower the route's limit.",
        Some("aws glue get-job --job-name {resource} --region {region} --query Job.ExecutionProperty");
    JobRoleMissing: "job_role_missing", High,
        "The role that the job names isn't there. Glue can't start the job, and a run that goes on loses its access.",
        "Create the role again, or give the job another one. If the role is Landfall's, `landfall deploy --repair` makes it.",
        DEPLOY_REPAIR;
    JobRoleDistrustsGlue: "job_role_distrusts_glue", High,
        "The job's role doesn't trust `glue.amazonaws.com`, so Glue can't run the job.",
        "Allow `sts:AssumeRole` to the service `glue.amazonaws.com` in the role's trust policy.",
        Some("aws iam get-role --role-name {role} --query Role.AssumeRolePolicyDocument");
    ScriptMissing: "script_missing", High,
        "The job's script isn't there, so each run fails before it begins and writes no log.",
        "Upload the script to {resource}, or give the job the right location.",
        Some("aws s3 ls {resource}");
    ConnectionMissing: "connection_missing", High,
        "The job names a connection that Glue doesn't have in this account and region, so no run of the job begins its work.",
        "Create the connection again, or take it out of the job.",
        Some("aws glue get-connections --hide-password --query 'ConnectionList[].Name' --region {region}");
    ConnectionSubnetMissing: "connection_subnet_missing", High,
        "The job's connection names a subnet that isn't there, so no run of the job begins its work.",
        "Give the connection a subnet that is there.",
        Some("aws ec2 describe-subnets --query 'Subnets[].[SubnetId,VpcId,AvailableIpAddressCount]' --region {region}");
    ConnectionSubnetFull: "connection_subnet_full", High,
        "The subnet of the job's connection has no free address. A run takes one for each worker, so the next one fails.",
        "Wait until other runs end, or give the connection a larger subnet. The command shows what has the addresses.",
        Some("aws ec2 describe-network-interfaces --filters Name=subnet-id,Values={subnet} --query 'NetworkInterfaces[].[Description,Status]' --region {region}");
    ConnectionGroupMissing: "connection_group_missing", High,
        "The job's connection names a security group that isn't there, so no run of the job begins its work.",
        "Give the connection a security group of its VPC that admits itself on all TCP ports.",
        Some("aws ec2 describe-security-groups --filters Name=vpc-id,Values={vpc} --query 'SecurityGroups[].[GroupId,GroupName]' --region {region}");
    ConnectionGroupClosed: "connection_group_closed", High,
        "No security group of the job's connection admits itself on all TCP ports. The workers of a run talk to each other that way, and Glue asks for such a rule.",
        "Add the rule, or ask the owners of the network for it. It admits the group itself and nobody else.",
        Some("aws ec2 authorize-security-group-ingress --group-id {group} --protocol tcp --port 0-65535 --source-group {group} --region {region}");
    NetworkLacksGateway: "network_lacks_gateway", High,
        "The subnet that the job runs in has no way to S3 or DynamoDB. A run reads from S3 what landed, and claims its batch in DynamoDB.",
        "Ask the owners of the network for a gateway endpoint, which costs nothing, or for a NAT gateway.",
        Some("aws ec2 create-vpc-endpoint --vpc-id {vpc} --service-name com.amazonaws.{region}.{service} --route-table-ids {table} --region {region}");
    NetworkLacksSts: "network_lacks_sts", High,
        "The subnet that the job runs in has no way to STS, so no run can assume the reader role.",
        "Ask the owners of the network for an endpoint of STS whose security group admits the job, or for a NAT gateway. A route with `access: bucket-policy` needs no STS.",
        Some("aws ec2 create-vpc-endpoint --vpc-id {vpc} --vpc-endpoint-type Interface --service-name com.amazonaws.{region}.sts --subnet-ids {subnet} --security-group-ids {group} --private-dns-enabled --region {region}");
    NetworkUnclear: "network_unclear", Medium,
        "The way from the job's subnet to AWS leads through something that Landfall can't look behind, such as a transit gateway or a firewall.",
        "Ask the owners of the network whether it lets S3, STS and DynamoDB through.",
        Some("aws ec2 describe-route-tables --route-table-ids {table} --region {region}");
    EndpointRefusesBucket: "endpoint_refuses_bucket", High,
        "The job reaches S3 through an endpoint of its VPC, and the endpoint's policy lets nobody read from a bucket that the job reads.",
        "Ask the owners of the network to allow `s3:GetObject` and `s3:GetObjectVersion` on the objects of `{bucket}` in the endpoint's policy. Whoever reads is the reader role, which belongs to the data account.",
        Some("aws ec2 describe-vpc-endpoints --vpc-endpoint-ids {endpoint} --query 'VpcEndpoints[].PolicyDocument' --output text --region {region}");
    EndpointPolicyUnclear: "endpoint_policy_unclear", Medium,
        "The job reaches S3 through an endpoint of its VPC, and the endpoint's policy lets some read from the bucket and others not.",
        "Look whether the policy's conditions and principals admit the reader role, which belongs to the data account, to `{bucket}`.",
        Some("aws ec2 describe-vpc-endpoints --vpc-endpoint-ids {endpoint} --query 'VpcEndpoints[].PolicyDocument' --output text --region {region}");
    RunFailed: "run_failed", Medium,
        "Landfall started the job, and the run failed.",
        "Read the run's error and its log. {advice}",
        Some("aws glue get-job-run --job-name {resource} --run-id {run} --region {region}");
}
