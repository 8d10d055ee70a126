output "image" {
  description = "The AMI's id, or HOST/REPOSITORY@sha256:… of a container image."
  value       = data.external.this.result.image
}

output "version" {
  description = "The image's version in the ledger."
  value       = data.external.this.result.version
}

output "result" {
  description = "All that imgctl answers: imgctl terraform external --help."
  value       = data.external.this.result
}
