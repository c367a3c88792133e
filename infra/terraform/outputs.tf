output "starter_role_arn" {
  description = "The role that starts the jobs, in the analytics account."
  value       = aws_cloudformation_stack.analytics.outputs.StarterRoleArn
}

output "job_role_arn" {
  description = "The role for your jobs, which the reader role trusts."
  value       = aws_cloudformation_stack.analytics.outputs.JobRoleArn
}

output "reader_role_arn" {
  description = "The role of the data account that jobs read with."
  value       = aws_cloudformation_stack.data.outputs.ReaderRoleArn
}

output "library_uri" {
  description = "The job library: the --extra-py-files of a Spark job, or the --additional-python-modules."
  value       = local.uris.analytics[local.library]
}

output "key_policy_statement" {
  description = "What the policies of the landing buckets' keys must admit."
  value       = aws_cloudformation_stack.data.outputs.KeyPolicyStatement
}

output "arrivals_queue_url" {
  description = "The queue where arrivals wait for the trigger."
  value       = aws_cloudformation_stack.data.outputs.ArrivalsQueueUrl
}

output "dead_letter_queue_url" {
  description = "The queue of the messages that the trigger could not take."
  value       = aws_cloudformation_stack.data.outputs.DeadLetterQueueUrl
}

output "ledger_table" {
  description = "The table of batches and arrivals."
  value       = aws_cloudformation_stack.data.outputs.LedgerTable
}

output "manifests_bucket" {
  description = "The bucket of the manifests, which say what a job is to read."
  value       = aws_cloudformation_stack.data.outputs.ManifestsBucket
}

output "alarm_topic" {
  description = "The topic that alarms go to, if there is one."
  value       = lookup(aws_cloudformation_stack.data.outputs, "AlarmTopic", null)
}
