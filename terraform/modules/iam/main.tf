# Least rights for those who read, those who promote, and those who audit. rights.json is the table: each right, on what,
# and what imgctl needs it for; a test holds it against the calls that imgctl really makes.

locals {
  rights = jsondecode(file("${path.module}/rights.json"))
  roles = {
    reader   = local.rights.reader
    promoter = concat(local.rights.reader, local.rights.promoter)
    auditor  = concat(local.rights.reader, local.rights.auditor)
  }

  arn = "arn:${var.partition}"
  resources = {
    # AWS knows no narrower one for what only describes, and for new revisions of a task definition.
    any         = ["*"]
    groups      = [for name in var.groups : "${local.arn}:autoscaling:*:*:autoScalingGroup:*:autoScalingGroupName/${name}"]
    templates   = [for id in var.launch_templates : "${local.arn}:ec2:*:*:launch-template/${id}"]
    images      = ["${local.arn}:ec2:*::image/*"]
    services    = [for service in var.services : "${local.arn}:ecs:*:*:service/${service}"]
    deployments = [for service in var.services : "${local.arn}:ecs:*:*:service-deployment/${service}/*"]
    definitions = ["${local.arn}:ecs:*:*:task-definition/*"]
    roles       = var.pass_roles
    parameters  = [for name in var.parameters : "${local.arn}:ssm:*:*:parameter/${trimprefix(name, "/")}"]

    # And the stacks within it, whose names begin with its own.
    stacks = flatten([for name in var.stacks : [
      "${local.arn}:cloudformation:*:*:stack/${name}/*", "${local.arn}:cloudformation:*:*:stack/${name}-*/*",
    ]])

    anchor_parameters = [for name in var.anchor_parameters : "${local.arn}:ssm:*:*:parameter/${trimprefix(name, "/")}"]
    anchor_buckets    = [for name in var.anchor_buckets : "${local.arn}:s3:::${name}"]
    objects = concat(
      [for name in var.anchor_buckets : "${local.arn}:s3:::${name}/*"],
      [for name in var.states : "${local.arn}:s3:::${name}"],
    )
  }
  conditions = {
    roles = { StringEquals = { "iam:PassedToService" = ["ecs-tasks.amazonaws.com", "ec2.amazonaws.com"] } }
  }

  # A right on nothing is none: what was not named is not allowed.
  policies = { for role, rights in local.roles : role => jsonencode({
    Version = "2012-10-17"
    Statement = [for on in sort(distinct(rights[*].on)) : merge({
      Sid      = replace(title(replace(on, "_", " ")), " ", "")
      Effect   = "Allow"
      Action   = sort([for right in rights : right.action if right.on == on])
      Resource = local.resources[on]
    }, contains(keys(local.conditions), on) ? { Condition = local.conditions[on] } : {}) if length(local.resources[on]) > 0]
  }) }
}

resource "aws_iam_policy" "this" {
  for_each    = var.create
  name        = "${var.prefix}${each.key}"
  description = "What imgctl needs as a ${each.key}"
  policy      = local.policies[each.key]
}
