output "policies" {
  description = "The documents, as JSON."
  value       = module.iam.policies
}

output "arns" {
  description = "What to attach to a role."
  value       = module.iam.arns
}
