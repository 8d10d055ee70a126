# Terraform says which image runs, as it did before; the hook tells imgctl, which replaces the instances, waits for them,
# and can go back. `version` and `ami_id` come from the pipeline: -var or TF_VAR_.

module "group" {
  source = "../group"
  name   = var.name
  image  = var.ami_id
}

module "hook" {
  source        = "../../modules/hook"
  name          = var.name
  env           = "prod"
  image_version = var.release
  source_image  = var.ami_id
  mode          = var.mode

  triggers = {
    # Through this the hook runs after the template was changed.
    template = module.group.launch_template
    version  = var.release
  }

  depends_on = [module.group]
}
