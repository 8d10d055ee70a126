variable "name" {
  description = "The parameter's name, as in the pointer's config: /imgctl/web/prod."
  type        = string
}

variable "initial" {
  description = "The image to begin with where the parameter is not there yet: it is made with it, and imgctl changes it. Null: it is only read."
  type        = string
  default     = null
}
