variable "name" {
  description = "What everything's name begins with."
  type        = string
  default     = "imgctl"
}

variable "image" {
  description = "A container image with imgctl."
  type        = string
  default     = "registry.example.com/imgctl@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
}

variable "secrets" {
  description = "What the notices read from the environment: variable => ARN of a parameter or a secret."
  type        = map(string)
  default     = {}
}

variable "file_system_id" {
  description = "The EFS file system with imgctl.toml and the ledger."
  type        = string
  default     = "fs-0123456789abcdef0"
}

variable "access_point_id" {
  description = "Its access point."
  type        = string
  default     = "fsap-0123456789abcdef0"
}
