output "policies" {
  description = "reader, promoter, auditor: each policy's document as JSON."
  value       = local.policies
}

output "arns" {
  description = "The ARNs of those that were made."
  value       = { for role, policy in aws_iam_policy.this : role => policy.arn }
}
