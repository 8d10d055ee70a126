variable "name" {
  description = "The name of the group and of its launch template."
  type        = string
  default     = "web"
}

variable "release" {
  description = "The image's version."
  type        = string
}

variable "ami_id" {
  description = "The AMI of that version."
  type        = string
}

variable "mode" {
  description = "promote or record: see the module."
  type        = string
  default     = "promote"
}
