# `imgctl drift` by the clock: EventBridge Scheduler runs one Fargate task, which looks with the auditor's rights and
# exits with 2 where ledger, code and cloud disagree. Its config and the ledger are on an EFS file system.

locals {
  # With `record` each audit is an entry of the ledger, and only what is new since the last one is told.
  command = concat(
    ["drift", "--format", "log", "--time-limit", var.time_limit],
    var.record ? ["--record", "--new"] : [],
    var.channels,
  )
  mount = "/imgctl"
}

resource "aws_cloudwatch_log_group" "this" {
  name              = "/imgctl/${var.name}"
  retention_in_days = var.log_retention_days
}

resource "aws_ecs_task_definition" "this" {
  family                   = var.name
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = 256
  memory                   = 512
  task_role_arn            = aws_iam_role.task.arn
  execution_role_arn       = aws_iam_role.execution.arn

  container_definitions = jsonencode([{
    name        = "imgctl"
    image       = var.image
    essential   = true
    entryPoint  = ["imgctl"]
    command     = local.command
    environment = [for name, value in merge(local.environment, var.environment) : { name = name, value = value }]
    secrets     = [for name, arn in var.secrets : { name = name, valueFrom = arn }]
    mountPoints = [{ sourceVolume = "imgctl", containerPath = local.mount, readOnly = !var.record }]
    logConfiguration = {
      logDriver = "awslogs"
      options = {
        awslogs-group         = aws_cloudwatch_log_group.this.name
        awslogs-region        = var.region
        awslogs-stream-prefix = "drift"
      }
    }
  }])

  volume {
    name = "imgctl"

    efs_volume_configuration {
      file_system_id     = var.file_system_id
      transit_encryption = "ENABLED"

      authorization_config {
        access_point_id = var.access_point_id
        iam             = "ENABLED"
      }
    }
  }
}

locals {
  environment = {
    AWS_REGION    = var.region
    IMGCTL_CONFIG = "${local.mount}/imgctl.toml"
    IMGCTL_LEDGER = "${local.mount}/ledger"
  }
}

resource "aws_scheduler_schedule" "this" {
  name                = var.name
  schedule_expression = var.schedule

  flexible_time_window {
    mode = "OFF"
  }

  target {
    arn      = var.cluster_arn
    role_arn = aws_iam_role.scheduler.arn

    ecs_parameters {
      # Without its number: always the newest revision.
      task_definition_arn = aws_ecs_task_definition.this.arn_without_revision
      launch_type         = "FARGATE"
      task_count          = 1

      network_configuration {
        subnets          = var.subnet_ids
        security_groups  = var.security_group_ids
        assign_public_ip = var.assign_public_ip
      }
    }

    # The next look comes by itself.
    retry_policy {
      maximum_retry_attempts       = 2
      maximum_event_age_in_seconds = 900
    }
  }
}
