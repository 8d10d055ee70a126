variable "name" {
  description = "The image's name in the ledger, and of the channel: web of web/prod."
  type        = string
}

variable "env" {
  description = "The channel's environment: prod of web/prod."
  type        = string
}

variable "image_version" {
  description = "The image's version in the ledger."
  type        = string
}

variable "source_image" {
  description = "What was deployed: ami-… (or ami-…@REGION), HOST/REPOSITORY:TAG or HOST/REPOSITORY@sha256:…"
  type        = string
}

variable "commit" {
  description = "The commit the image was built from."
  type        = string
  default     = ""
}

variable "reason" {
  description = "Why, for the ledger."
  type        = string
  default     = "terraform apply"
}

variable "mode" {
  description = "promote: record the image, and bring every target of the channel to it (where it runs already, that is written down and nothing moves). record: only record the image."
  type        = string
  default     = "promote"

  validation {
    condition     = contains(["promote", "record"], var.mode)
    error_message = "mode is promote or record."
  }
}

variable "triggers" {
  description = "The hook runs when one of these changes. Name what your code decides (the version it deploys, its template's id), and nothing that imgctl changes (the template's version): else the hook is in the plan after every rollback."
  type        = map(string)
}

variable "imgctl" {
  description = "The program, where it is not on PATH."
  type        = string
  default     = "imgctl"
}

variable "working_dir" {
  description = "Where imgctl is run, and looks upwards for imgctl.toml; by default where Terraform is."
  type        = string
  default     = null
}

variable "environment" {
  description = "More for imgctl's environment, as AWS_PROFILE or IMGCTL_CONFIG. Not for secrets: it is in the plan."
  type        = map(string)
  default     = {}
}
