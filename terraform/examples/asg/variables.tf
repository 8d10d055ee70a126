variable "ami_id" {
  description = "The AMI the group launches."
  type        = string
  # Not set here on purpose: imgctl writes it into imgctl.auto.tfvars.json, which Terraform reads by itself. That file is
  # the pointer. After a rollback it names the AMI that runs again, so the next plan does not bring the bad one back.
  # Its whole content is {"ami_id": "ami-0123456789abcdef0"}.
}

variable "name" {
  description = "The name of the group and of its launch template."
  type        = string
  default     = "web"
}

variable "size" {
  description = "How many instances run."
  type        = number
  default     = 3
}

variable "instance_type" {
  description = "The instance type."
  type        = string
  default     = "t3.micro"
}

variable "region" {
  description = "The AWS region."
  type        = string
  default     = "eu-west-1"
}

variable "subnet_ids" {
  description = "Existing subnets for the instances; when empty, a VPC with one subnet is made."
  type        = list(string)
  default     = []
}

variable "endpoint" {
  description = "Base URL of an AWS emulator; empty means AWS itself."
  type        = string
  default     = ""
}
