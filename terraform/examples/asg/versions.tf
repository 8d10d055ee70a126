terraform {
  required_version = ">= 1.5"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 5.100"
    }
  }
}

provider "aws" {
  region = var.region

  # Only for the lab: with var.endpoint empty, all of this is the provider's default.
  skip_credentials_validation = var.endpoint != ""
  skip_metadata_api_check     = var.endpoint != ""
  skip_region_validation      = var.endpoint != ""
  max_retries                 = var.endpoint != "" ? 2 : 25

  dynamic "endpoints" {
    for_each = var.endpoint == "" ? [] : [var.endpoint]
    content {
      autoscaling = endpoints.value
      ec2         = endpoints.value
      iam         = endpoints.value
      sts         = endpoints.value
    }
  }
}
