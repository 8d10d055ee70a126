output "command" {
  description = "What the task runs."
  value       = module.audit.command
}
