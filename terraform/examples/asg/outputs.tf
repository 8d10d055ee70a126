# Nothing here may follow the AMI or the template version: an output that changes makes `terraform plan` exit with 2
# ("Changes to Outputs") after every rollback, although there is nothing to do.

output "group" {
  description = "The Auto Scaling group's name."
  value       = aws_autoscaling_group.this.name
}

output "launch_template" {
  description = "The launch template's id."
  value       = aws_launch_template.this.id
}
