# The image is what the SSM parameter says, and imgctl writes the parameter:
#
#   [[channels.web.prod.pointers]]
#   kind = "ssm"
#   name = "/imgctl/web/prod"
#   region = "eu-west-1"

module "web" {
  source  = "../../modules/channel/ssm"
  name    = "/imgctl/${var.name}/prod"
  initial = var.initial
}

module "group" {
  source = "../group"
  name   = var.name
  image  = module.web.image
}
