# EC2 itself reads the parameter at each launch. For what is launched from a template now and then (workers, one-off
# machines): each new instance has the channel's image, and a rollback is the parameter alone.
#
# Not for a group that imgctl moves: AWS refuses to roll back an instance refresh of such a group, nothing in it says
# what its instances were launched from, and imgctl pins it first. Make that one as in ../ssm.

module "web" {
  source  = "../../modules/channel/ssm"
  name    = "/imgctl/${var.channel}"
  initial = var.initial
}

module "workers" {
  source = "../group"
  name   = var.name
  image  = "resolve:ssm:${module.web.parameter}"
}
