variable "name" {
  description = "The name of the group and of its launch template."
  type        = string
  default     = "web"
}

variable "channel" {
  description = "The channel whose image the workers have."
  type        = string
  default     = "web/prod"
}

variable "initial" {
  description = "The AMI to begin with, where imgctl has not written the parameter yet."
  type        = string
  default     = null
}
