# The image of a channel, from the SSM parameter that imgctl writes (a pointer of kind "ssm").

# Where `initial` is given the parameter is made here, once; from then on its value is imgctl's, and Terraform only reads
# it: what is ignored is refreshed all the same. (insecure_value, because an image is no secret: `value` would be hidden
# in every plan.)
resource "aws_ssm_parameter" "this" {
  count          = var.initial == null ? 0 : 1
  name           = var.name
  description    = "What imgctl has released: imgctl pointer show"
  type           = "String"
  data_type      = startswith(coalesce(var.initial, "-"), "ami-") ? "aws:ec2:image" : "text"
  insecure_value = var.initial

  lifecycle {
    ignore_changes = [value, insecure_value, description, data_type]
  }
}

data "aws_ssm_parameter" "this" {
  count = var.initial == null ? 1 : 0
  name  = var.name
}

locals {
  image = one(concat(data.aws_ssm_parameter.this[*].insecure_value, aws_ssm_parameter.this[*].insecure_value))
}
