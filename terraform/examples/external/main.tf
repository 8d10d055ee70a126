# The image is what imgctl answers from the ledger on this machine: no file and no parameter between.

# Before the first release there is nothing to answer: -var initial=ami-… once, to make the group that it goes to.
module "web" {
  count   = var.initial == null ? 1 : 0
  source  = "../../modules/channel/external"
  channel = "${var.name}/prod"
  region  = "eu-west-1"
}

module "group" {
  source = "../group"
  name   = var.name
  image  = one(concat(module.web[*].image, compact([var.initial])))
}
