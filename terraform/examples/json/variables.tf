variable "name" {
  description = "The name of the group and of its launch template."
  type        = string
  default     = "web"
}
