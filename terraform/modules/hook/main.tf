# Where Terraform itself deploys: what it has put into a target's template is recorded in imgctl's ledger, and promoted,
# so that it can be rolled back to. Runs after an apply that changed `triggers`, and not before or else.

resource "terraform_data" "this" {
  triggers_replace = var.triggers

  provisioner "local-exec" {
    # Values go through the environment: nothing that stands in them is ever run.
    interpreter = ["/bin/sh", "-ceu"]
    command     = local.record ? local.recorded : "${local.recorded}\n${local.promoted}"
    working_dir = var.working_dir
    environment = merge(var.environment, {
      IMGCTL_PROGRAM = var.imgctl
      IMGCTL_IMAGE   = "${var.name}@${var.image_version}"
      IMGCTL_SOURCE  = var.source_image
      IMGCTL_COMMIT  = var.commit
      IMGCTL_ENV     = var.env
      IMGCTL_REASON  = var.reason
    })
  }
}

locals {
  record   = var.mode == "record"
  recorded = <<-SH
    set -- "$IMGCTL_IMAGE" "$IMGCTL_SOURCE"
    [ -z "$IMGCTL_COMMIT" ] || set -- "$@" --commit "$IMGCTL_COMMIT"
    "$IMGCTL_PROGRAM" record "$@"
  SH
  promoted = <<-SH
    "$IMGCTL_PROGRAM" promote "$IMGCTL_IMAGE" "$IMGCTL_ENV" --yes --reason "$IMGCTL_REASON"
  SH
}
