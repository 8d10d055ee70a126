output "task_definition" {
  description = "To run it once by hand: aws ecs run-task --task-definition …"
  value       = aws_ecs_task_definition.this.family
}

output "log_group" {
  description = "Where its findings are."
  value       = aws_cloudwatch_log_group.this.name
}

output "command" {
  description = "What is run, after imgctl."
  value       = local.command
}
