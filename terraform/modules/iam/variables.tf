variable "create" {
  description = "The policies to make: reader (status, drift, plans that only look), promoter (everything that moves a target), auditor (a reader who also proves the ledger against its anchors). Attach them with their `arns`; with none, `policies` has the documents."
  type        = set(string)
  default     = ["reader", "promoter", "auditor"]

  validation {
    condition     = length(setsubtract(var.create, ["reader", "promoter", "auditor"])) == 0
    error_message = "There are reader, promoter and auditor."
  }
}

variable "prefix" {
  description = "What the policies' names begin with."
  type        = string
  default     = "imgctl-"
}

variable "groups" {
  description = "The Auto Scaling groups that may be moved, by name; * in a name stands for anything."
  type        = list(string)
  default     = []
}

variable "launch_templates" {
  description = "The launch templates that may get versions, by id."
  type        = list(string)
  default     = []
}

variable "services" {
  description = "The ECS services that may be looked at and moved: CLUSTER/SERVICE."
  type        = list(string)
  default     = []
}

variable "pass_roles" {
  description = "The ARNs of the roles that task definitions and instance profiles name."
  type        = list(string)
  default     = []
}

variable "parameters" {
  description = "The SSM parameters that are pointers, by name."
  type        = list(string)
  default     = []
}

variable "anchor_parameters" {
  description = "The SSM parameters where `imgctl ledger anchor` notes the ledger's head, by name."
  type        = list(string)
  default     = []
}

variable "anchor_buckets" {
  description = "The S3 buckets where it does, by name."
  type        = list(string)
  default     = []
}

variable "states" {
  description = "The states in S3 that `imgctl drift` reads: BUCKET/KEY."
  type        = list(string)
  default     = []
}

variable "stacks" {
  description = "The CloudFormation stacks that `imgctl drift` reads."
  type        = list(string)
  default     = []
}

variable "partition" {
  description = "aws, aws-cn or aws-us-gov."
  type        = string
  default     = "aws"
}
