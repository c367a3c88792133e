# Both accounts, with the routes of this folder's package:
#
#   landfall package package --routes routes.yaml --zip

terraform {
  required_version = ">= 1.5"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.0"
    }
  }
}

provider "aws" {
  alias   = "data"
  profile = "acme-data"
  region  = "eu-west-1"
}

provider "aws" {
  alias   = "analytics"
  profile = "acme-lake"
  region  = "eu-west-1"
}

module "landfall" {
  source = "../.."

  providers = {
    aws.data      = aws.data
    aws.analytics = aws.analytics
  }

  package_dir           = "${path.module}/package"
  external_id_parameter = "/landfall/external-id:1"

  analytics_parameters = {
    OutputBucketName = "acme-lake-parquet"
  }

  data_parameters = {
    AlarmEmail = "data-team@example.com"
  }

  tags = {
    cost-center = "42"
  }
}

output "job_role_arn" {
  description = "The role for your jobs."
  value       = module.landfall.job_role_arn
}
