output "group" {
  description = "The Auto Scaling group's name."
  value       = aws_autoscaling_group.this.name
}

output "launch_template" {
  description = "The launch template's id and the version that the group uses."
  value = {
    id      = aws_launch_template.this.id
    version = aws_launch_template.this.latest_version
  }
}

output "ami_id" {
  description = "The AMI that Terraform believes is current."
  value       = aws_launch_template.this.image_id
}
