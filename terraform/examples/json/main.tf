# The image is a text in a JSON file beside these, as for several channels in one file or for a monorepo, and imgctl
# writes that text:
#
#   [[channels.web.prod.pointers]]
#   kind = "json"
#   path = "infra/images.json"
#   at = "/images/web"

locals {
  images = jsondecode(file("${path.module}/images.json")).images
}

module "group" {
  source = "../group"
  name   = var.name
  image  = local.images[var.name]
}
