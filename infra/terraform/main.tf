# Deploys the templates of a release as `landfall deploy` does: the provisioner in both accounts, the analytics account's
# stack, the data account's stack, and the auditor in both accounts.

data "aws_caller_identity" "data" {
  provider = aws.data
}

data "aws_caller_identity" "analytics" {
  provider = aws.analytics
}

data "aws_partition" "data" {
  provider = aws.data
}

data "aws_region" "data" {
  provider = aws.data
}

data "aws_region" "analytics" {
  provider = aws.analytics
}

locals {
  data_account      = data.aws_caller_identity.data.account_id
  analytics_account = data.aws_caller_identity.analytics.account_id
  data_region       = data.aws_region.data.id
  analytics_region  = data.aws_region.analytics.id
  partition         = data.aws_partition.data.partition
  suffix            = data.aws_partition.data.dns_suffix

  # What follows from the routes.
  file    = yamldecode(file("${var.package_dir}/routes.yaml"))
  routes  = local.file.routes
  targets = try(local.file.targets, {})
  buckets = distinct([for route in local.routes : route.bucket])
  started = [for route in local.routes : route if route.start.target != "none"]
  jobs    = distinct([for route in local.started : route.start.job])
  job_arns = distinct([
    for route in local.started :
    "arn:${local.partition}:glue:${local.targets[route.start.target].region}:${local.analytics_account}:job/${route.start.job}"
  ])
  bucket_arns       = [for bucket in local.buckets : "arn:${local.partition}:s3:::${bucket}"]
  reconciled        = distinct([for route in local.routes : route.bucket if can(route.reconcile.every)])
  announces         = anytrue([for route in local.routes : try(route.start.announce, false) == true || route.start.target == "none"])
  has_example_job   = lookup(var.analytics_parameters, "ExampleJob", tostring(contains(local.jobs, local.example_job)))
  example_job       = lookup(var.analytics_parameters, "JobName", "csv-to-parquet")
  is_in_two_regions = local.data_region != local.analytics_region

  # Uploads are named by their content, so a change of the routes changes the stacks, and nothing else does.
  prefix     = "${var.name_prefix}/"
  files      = toset(["routes.yaml", "glue/jobs/csv_to_parquet.py", local.library])
  library    = one(fileset(var.package_dir, "glue/*.whl"))
  functions  = toset(["provisioner", "trigger", "monitor", "reconciler", "auditor", "repairer"])
  uploads    = setunion(local.files, [for function in local.functions : "${function}.zip"])
  keys       = { for file in local.uploads : file => "${local.prefix}${filesha256("${var.package_dir}/${file}")}/${basename(file)}" }
  buckets_of = { data = aws_cloudformation_stack.data_artifacts.parameters.BucketName, analytics = aws_cloudformation_stack.analytics_artifacts.parameters.BucketName }

  # The parameter of the external ID as the templates have it, and as a reference that CloudFormation resolves. So
  # Terraform never learns the value, and passes no parameter that CloudFormation hides.
  external_id          = "\n  ExternalId:\n    Type: String\n    NoEcho: true\n    MinLength: 2\n    MaxLength: 1224\n    AllowedPattern: \"[A-Za-z0-9+=,.@:/_-]+\"\n"
  previous_external_id = "\n  PreviousExternalId:\n    Type: String\n    NoEcho: true\n    Default: \"\"\n    MaxLength: 1224\n    AllowedPattern: \"[A-Za-z0-9+=,.@:/_-]*\"\n"
  resolved             = "\n  ExternalId:\n    Type: String\n    NoEcho: true\n    Default: \"{{resolve:ssm:${var.external_id_parameter}}}\"\n"
  resolved_previous    = "\n  PreviousExternalId:\n    Type: String\n    NoEcho: true\n    Default: \"{{resolve:ssm:${var.previous_external_id_parameter}}}\"\n"

  # The templates with the addresses of the uploads in place of paths, by account.
  texts = { for name in ["provisioner", "analytics-account", "data-account", "auditor"] : name => file("${var.package_dir}/${name}.yaml") }
  uris  = { for side, bucket in local.buckets_of : side => { for file, key in local.keys : file => "s3://${bucket}/${key}" } }

  data_provisioner      = replace(local.texts["provisioner"], "CodeUri: provisioner/", "CodeUri: ${local.uris.data["provisioner.zip"]}")
  analytics_provisioner = replace(local.texts["provisioner"], "CodeUri: provisioner/", "CodeUri: ${local.uris.analytics["provisioner.zip"]}")

  analytics_routes   = replace(local.texts["analytics-account"], "Location: routes.yaml", "Location: ${local.uris.analytics["routes.yaml"]}")
  analytics_scripts  = replace(local.analytics_routes, "ScriptLocation: glue/jobs/csv_to_parquet.py", "ScriptLocation: ${local.uris.analytics["glue/jobs/csv_to_parquet.py"]}")
  analytics_current  = replace(local.analytics_scripts, local.external_id, local.resolved)
  analytics_template = replace(local.analytics_current, local.previous_external_id, var.previous_external_id_parameter == "" ? local.previous_external_id : local.resolved_previous)

  data_routes     = replace(local.texts["data-account"], "Location: routes.yaml", "Location: ${local.uris.data["routes.yaml"]}")
  data_trigger    = replace(local.data_routes, "CodeUri: trigger/", "CodeUri: ${local.uris.data["trigger.zip"]}")
  data_monitor    = replace(local.data_trigger, "CodeUri: monitor/", "CodeUri: ${local.uris.data["monitor.zip"]}")
  data_reconciler = replace(local.data_monitor, "CodeUri: reconciler/", "CodeUri: ${local.uris.data["reconciler.zip"]}")
  data_template   = replace(local.data_reconciler, local.external_id, local.resolved)

  data_audits       = replace(local.texts["auditor"], "CodeUri: auditor/", "CodeUri: ${local.uris.data["auditor.zip"]}")
  data_auditor      = replace(local.data_audits, "CodeUri: repairer/", "CodeUri: ${local.uris.data["repairer.zip"]}")
  analytics_audits  = replace(local.texts["auditor"], "CodeUri: auditor/", "CodeUri: ${local.uris.analytics["auditor.zip"]}")
  analytics_auditor = replace(local.analytics_audits, "CodeUri: repairer/", "CodeUri: ${local.uris.analytics["repairer.zip"]}")

  templates = {
    data-provisioner      = local.data_provisioner
    data-account          = local.data_template
    data-auditor          = local.data_auditor
    analytics-provisioner = local.analytics_provisioner
    analytics-account     = local.analytics_template
    analytics-auditor     = local.analytics_auditor
  }
}

resource "aws_cloudformation_stack" "data_artifacts" {
  provider      = aws.data
  name          = "${var.name_prefix}-artifacts"
  template_body = file("${path.module}/../artifacts.yaml")
  parameters    = { BucketName = "${var.name_prefix}-artifacts-${local.data_account}-${local.data_region}" }
  tags          = var.tags
}

resource "aws_cloudformation_stack" "analytics_artifacts" {
  provider      = aws.analytics
  name          = "${var.name_prefix}-artifacts"
  template_body = file("${path.module}/../artifacts.yaml")
  parameters    = { BucketName = "${var.name_prefix}-artifacts-${local.analytics_account}-${local.analytics_region}" }
  tags          = var.tags
}

# A stack that rolls back reads the upload before, so that goes last.
resource "aws_s3_object" "data" {
  provider = aws.data
  for_each = local.uploads
  bucket   = local.buckets_of.data
  key      = local.keys[each.key]
  source   = "${var.package_dir}/${each.key}"

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_s3_object" "analytics" {
  provider = aws.analytics
  for_each = local.uploads
  bucket   = local.buckets_of.analytics
  key      = local.keys[each.key]
  source   = "${var.package_dir}/${each.key}"

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_s3_object" "data_template" {
  provider = aws.data
  for_each = toset(["data-provisioner", "data-account", "data-auditor"])
  bucket   = local.buckets_of.data
  key      = "${local.prefix}${sha256(local.templates[each.key])}/${each.key}.yaml"
  content  = local.templates[each.key]

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_s3_object" "analytics_template" {
  provider = aws.analytics
  for_each = toset(["analytics-provisioner", "analytics-account", "analytics-auditor"])
  bucket   = local.buckets_of.analytics
  key      = "${local.prefix}${sha256(local.templates[each.key])}/${each.key}.yaml"
  content  = local.templates[each.key]

  lifecycle {
    create_before_destroy = true
  }
}

locals {
  urls = merge(
    { for name, object in aws_s3_object.data_template : name => "https://${object.bucket}.s3.${local.data_region}.${local.suffix}/${object.key}" },
    { for name, object in aws_s3_object.analytics_template : name => "https://${object.bucket}.s3.${local.analytics_region}.${local.suffix}/${object.key}" },
  )
  capabilities = ["CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"]
}

resource "aws_cloudformation_stack" "data_provisioner" {
  provider     = aws.data
  name         = "${var.name_prefix}-provisioner"
  template_url = local.urls["data-provisioner"]
  capabilities = local.capabilities
  tags         = var.tags
  parameters = merge({
    NamePrefix        = var.name_prefix
    Architecture      = var.architecture
    TrustedAccountIds = local.analytics_account
    LandingBucketArns = join(",", local.bucket_arns)
    JobBucketArns     = "none"
    JobArns           = "none"
  }, var.provisioner_parameters)
  depends_on = [aws_s3_object.data]
}

resource "aws_cloudformation_stack" "analytics_provisioner" {
  provider     = aws.analytics
  name         = "${var.name_prefix}-provisioner"
  template_url = local.urls["analytics-provisioner"]
  capabilities = local.capabilities
  tags         = var.tags
  parameters = merge({
    NamePrefix        = var.name_prefix
    Architecture      = var.architecture
    TrustedAccountIds = local.data_account
    LandingBucketArns = "none"
    JobArns           = join(",", local.job_arns)
  }, var.provisioner_parameters)
  depends_on = [aws_s3_object.analytics]
}

resource "aws_cloudformation_stack" "analytics" {
  provider     = aws.analytics
  name         = var.name_prefix
  template_url = local.urls["analytics-account"]
  capabilities = local.capabilities
  tags         = var.tags
  parameters = merge({
    NamePrefix            = var.name_prefix
    ProvisionerNamePrefix = var.name_prefix
    DataAccountId         = local.data_account
    DataNamePrefix        = var.name_prefix
    DataRegion            = local.is_in_two_regions ? local.data_region : ""
    ArtifactBucketName    = local.buckets_of.analytics
    ArtifactPrefix        = local.prefix
    LibraryKey            = local.keys[local.library]
    ExampleJob            = local.has_example_job
    OtherJobNames         = join(",", [for job in local.jobs : job if local.has_example_job == "false" || job != local.example_job])
  }, var.analytics_parameters)
  depends_on = [aws_cloudformation_stack.analytics_provisioner, aws_s3_object.analytics]

  lifecycle {
    precondition {
      condition     = alltrue([for target in local.targets : tostring(target.account) == local.analytics_account])
      error_message = "Every target of the routes must be in the account of aws.analytics. For several accounts, use `landfall deploy`."
    }
    precondition {
      condition     = alltrue([for route in local.routes : try(route.start.access, null) != "bucket_policy"])
      error_message = "Routes with access: bucket_policy need more parameters than this module derives. Use `landfall deploy`."
    }
    precondition {
      condition     = alltrue([for route in local.routes : try(route.reconcile.inventory, null) == null])
      error_message = "Routes with reconcile.inventory need more parameters than this module derives. Use `landfall deploy`."
    }
    precondition {
      condition     = strcontains(local.texts["analytics-account"], local.external_id) && strcontains(local.texts["data-account"], local.external_id)
      error_message = "The package is of another version than this module. Take both from one release."
    }
  }
}

resource "aws_cloudformation_stack" "data" {
  provider     = aws.data
  name         = var.name_prefix
  template_url = local.urls["data-account"]
  capabilities = local.capabilities
  tags         = var.tags
  parameters = merge({
    NamePrefix            = var.name_prefix
    ProvisionerNamePrefix = var.name_prefix
    Architecture          = var.architecture
    AnalyticsAccountId    = local.analytics_account
    AnalyticsNamePrefix   = var.name_prefix
    LandingBucketNames    = join(",", local.buckets)
    ReconciledBucketArns  = join(",", [for bucket in local.reconciled : "arn:${local.partition}:s3:::${bucket}"])
    AnnouncesBatches      = tostring(local.announces)
    AdmitsFormerBatches   = "false"
    RunsBus               = tostring(local.is_in_two_regions)
  }, var.data_parameters)
  # The starter role first: the functions assume it from their first message on.
  depends_on = [aws_cloudformation_stack.data_provisioner, aws_cloudformation_stack.analytics, aws_s3_object.data]
}

resource "aws_cloudformation_stack" "data_auditor" {
  provider     = aws.data
  count        = var.auditor ? 1 : 0
  name         = "${var.name_prefix}-auditor"
  template_url = local.urls["data-auditor"]
  capabilities = local.capabilities
  tags         = var.tags
  parameters = merge({
    NamePrefix            = var.name_prefix
    ProvisionerNamePrefix = var.name_prefix
    Architecture          = var.architecture
    StackName             = aws_cloudformation_stack.data.name
    Side                  = "data"
    LandingBucketArns     = join(",", local.bucket_arns)
    ArtifactBucketName    = local.buckets_of.data
    ArtifactPrefix        = local.prefix
    ForwardsIamEvents     = "false"
  }, var.auditor_parameters)
}

resource "aws_cloudformation_stack" "analytics_auditor" {
  provider     = aws.analytics
  count        = var.auditor ? 1 : 0
  name         = "${var.name_prefix}-auditor"
  template_url = local.urls["analytics-auditor"]
  capabilities = local.capabilities
  tags         = var.tags
  parameters = merge({
    NamePrefix            = var.name_prefix
    ProvisionerNamePrefix = var.name_prefix
    Architecture          = var.architecture
    StackName             = aws_cloudformation_stack.analytics.name
    Side                  = "analytics"
    JobArns               = join(",", local.job_arns)
    ArtifactBucketName    = local.buckets_of.analytics
    ArtifactPrefix        = local.prefix
    ForwardsIamEvents     = "false"
  }, var.auditor_parameters)
}
