output "id" {
  description = "Changes with every run: for depends_on, and for what must wait until the image runs."
  value       = terraform_data.this.id
}
