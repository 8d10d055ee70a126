# Three roles: what imgctl may see, what starts its container, and what starts the task.

locals {
  arn = "arn:${var.partition}"
  trusted = { for role, service in { task = "ecs-tasks", scheduler = "scheduler" } : role => jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "${service}.amazonaws.com" }
    }]
  }) }
}

resource "aws_iam_role" "task" {
  name               = "${var.name}-task"
  assume_role_policy = local.trusted.task
}

resource "aws_iam_role_policy" "task" {
  name   = "look"
  role   = aws_iam_role.task.name
  policy = var.policy
}

resource "aws_iam_role_policy" "volume" {
  name = "volume"
  role = aws_iam_role.task.name
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect   = "Allow"
      Action   = concat(["elasticfilesystem:ClientMount"], var.record ? ["elasticfilesystem:ClientWrite"] : [])
      Resource = "${local.arn}:elasticfilesystem:*:*:file-system/${var.file_system_id}"
    }]
  })
}

resource "aws_iam_role" "execution" {
  name               = "${var.name}-execution"
  assume_role_policy = local.trusted.task
}

resource "aws_iam_role_policy" "execution" {
  name = "start"
  role = aws_iam_role.execution.name
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(local.secret_statements, [
      {
        Effect   = "Allow"
        Action   = ["logs:CreateLogStream", "logs:PutLogEvents"]
        Resource = "${aws_cloudwatch_log_group.this.arn}:*"
      },
      {
        Effect   = "Allow"
        Action   = ["ecr:GetAuthorizationToken", "ecr:BatchCheckLayerAvailability", "ecr:GetDownloadUrlForLayer", "ecr:BatchGetImage"]
        Resource = "*"
      },
    ])
  })
}

# What ECS needs to hand secrets to a container
# (https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task_execution_IAM_role.html).
locals {
  # Of a secret's ARN without the key, stage and version that may follow it.
  secret_arns = [for arn in values(var.secrets) : join(":", slice(split(":", arn), 0, min(7, length(split(":", arn)))))]
  secret_reads = {
    "ssm:GetParameters"             = [for arn in local.secret_arns : arn if startswith(arn, "arn:${var.partition}:ssm:")]
    "secretsmanager:GetSecretValue" = [for arn in local.secret_arns : arn if !startswith(arn, "arn:${var.partition}:ssm:")]
    "kms:Decrypt"                   = var.kms_key_arns
  }
  secret_statements = [
    for action, arns in local.secret_reads : { Effect = "Allow", Action = [action], Resource = arns } if length(arns) > 0
  ]
}

resource "aws_iam_role" "scheduler" {
  name               = "${var.name}-scheduler"
  assume_role_policy = local.trusted.scheduler
}

resource "aws_iam_role_policy" "scheduler" {
  name = "run"
  role = aws_iam_role.scheduler.name
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Effect    = "Allow"
        Action    = "ecs:RunTask"
        Resource  = [aws_ecs_task_definition.this.arn_without_revision, "${aws_ecs_task_definition.this.arn_without_revision}:*"]
        Condition = { ArnEquals = { "ecs:cluster" = var.cluster_arn } }
      },
      {
        Effect   = "Allow"
        Action   = "iam:PassRole"
        Resource = [aws_iam_role.task.arn, aws_iam_role.execution.arn]
      },
    ]
  })
}
