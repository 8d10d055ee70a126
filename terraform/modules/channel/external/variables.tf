variable "channel" {
  description = "NAME/ENV, as in web/prod."
  type        = string
}

variable "region" {
  description = "Of the AMI, where the image has AMIs in several regions."
  type        = string
  default     = null
}

variable "architecture" {
  description = "Of the AMI, where the image has several: x86_64, arm64."
  type        = string
  default     = null
}

variable "repository" {
  description = "Of the container image, where the image is in several: HOST/PATH."
  type        = string
  default     = null
}

variable "target" {
  description = "Instead of the three above: what belongs where this target of imgctl's config was last put."
  type        = string
  default     = null
}

variable "slot" {
  description = "With `target`: which of its images (`template`, a container's name)."
  type        = string
  default     = null
}

variable "imgctl" {
  description = "The program, where it is not on PATH."
  type        = string
  default     = "imgctl"
}

variable "config" {
  description = "imgctl's config; by default the nearest imgctl.toml upwards from working_dir."
  type        = string
  default     = null
}

variable "working_dir" {
  description = "Where imgctl is run; by default where Terraform is."
  type        = string
  default     = null
}
