output "image" {
  description = "The AMI's id, or HOST/REPOSITORY@sha256:… of a container image."
  value       = local.image

  precondition {
    condition     = can(regex("^(ami-[0-9a-f]{8,17}|.+@sha256:[0-9a-f]{64})$", local.image))
    error_message = "${var.name} holds no image by id or digest: imgctl pointer check"
  }
}

output "parameter" {
  description = "The parameter's name, for policies and for resolve:ssm."
  value       = var.name
}
