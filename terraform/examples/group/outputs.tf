output "launch_template" {
  description = "The launch template's id: it stays, while versions come and go."
  value       = aws_launch_template.this.id
}
