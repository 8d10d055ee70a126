variable "name" {
  description = "Of the schedule, the task, its roles and its log."
  type        = string
  default     = "imgctl-drift"
}

variable "schedule" {
  description = "When: rate(1 hour), cron(0 6 * * ? *)."
  type        = string
  default     = "rate(1 hour)"
}

variable "channels" {
  description = "NAME/ENV of the channels to look at; all of the config, when none is named."
  type        = list(string)
  default     = []
}

variable "record" {
  description = "Write each audit into the ledger and tell only what is new: the file system is then mounted for writing."
  type        = bool
  default     = false
}

variable "time_limit" {
  description = "Report after this time what has been found by then: 5m."
  type        = string
  default     = "5m"
}

variable "image" {
  description = "A container image with imgctl on its PATH, by digest."
  type        = string
}

variable "policy" {
  description = "What the task may see, as JSON: policies.auditor of the module iam."
  type        = string
}

variable "cluster_arn" {
  description = "The ECS cluster that it runs in."
  type        = string
}

variable "subnet_ids" {
  description = "Subnets with a way to the AWS APIs and to the file system."
  type        = list(string)
}

variable "security_group_ids" {
  description = "Security groups of the task: 443 and NFS (2049) outwards."
  type        = list(string)
  default     = []
}

variable "assign_public_ip" {
  description = "Whether the task has a public address: in public subnets without other ways out."
  type        = bool
  default     = false
}

variable "file_system_id" {
  description = "The EFS file system that holds imgctl.toml and the directory ledger."
  type        = string
}

variable "access_point_id" {
  description = "Its access point, whose root they are in."
  type        = string
}

variable "environment" {
  description = "More for imgctl's environment. Not for secrets."
  type        = map(string)
  default     = {}
}

variable "secrets" {
  description = "What the notices of imgctl.toml read from the environment (url_env, secret_env): variable => ARN of an SSM parameter or of a Secrets Manager secret."
  type        = map(string)
  default     = {}
}

variable "kms_key_arns" {
  description = "Keys of your own that these secrets are encrypted with."
  type        = list(string)
  default     = []
}

variable "topic_arns" {
  description = "SNS topics that are told when drift was found, or something could not be looked at. Their policies must let events.amazonaws.com publish."
  type        = list(string)
  default     = []
}

variable "log_retention_days" {
  description = "How long the log is kept."
  type        = number
  default     = 90
}

variable "region" {
  description = "The AWS region."
  type        = string
}

variable "partition" {
  description = "aws, aws-cn or aws-us-gov."
  type        = string
  default     = "aws"
}
