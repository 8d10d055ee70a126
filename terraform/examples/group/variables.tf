variable "name" {
  description = "The name of the group and of its launch template."
  type        = string
}

variable "image" {
  description = "The AMI's id, or resolve:ssm:PARAMETER."
  type        = string
}

variable "size" {
  description = "How many instances run."
  type        = number
  default     = 1
}

variable "instance_type" {
  description = "The instance type."
  type        = string
  default     = "t3.micro"
}

variable "region" {
  description = "The AWS region, for the subnet's zone."
  type        = string
  default     = "eu-west-1"
}
