variable "package_dir" {
  description = "The folder that `landfall package FOLDER --routes routes.yaml --zip` wrote: templates, functions with your routes, scripts and the job library."
  type        = string
}

variable "external_id_parameter" {
  description = "The external ID: the name and the version of a parameter (String) in the Parameter Store of both accounts, such as `/landfall/external-id:1`."
  type        = string

  validation {
    condition     = can(regex("^[a-zA-Z0-9_.\\-/]+:[0-9]+$", var.external_id_parameter))
    error_message = "Give the parameter's name and version, such as /landfall/external-id:1."
  }
}

variable "previous_external_id_parameter" {
  description = "The previous external ID, while you change it: the starter role then admits both."
  type        = string
  default     = ""

  validation {
    condition     = can(regex("^([a-zA-Z0-9_.\\-/]+:[0-9]+)?$", var.previous_external_id_parameter))
    error_message = "Give the parameter's name and version, such as /landfall/external-id:1, or leave it empty."
  }
}

variable "name_prefix" {
  description = "The beginning of the names of everything. The routes' starter role is landfall/PREFIX-starter."
  type        = string
  default     = "landfall"
}

variable "architecture" {
  description = "The processor architecture that the package was made for: arm64 or x86_64."
  type        = string
  default     = "arm64"
}

variable "auditor" {
  description = "Whether both accounts get an auditor."
  type        = bool
  default     = true
}

variable "provisioner_parameters" {
  description = "Further parameters of provisioner.yaml, in both accounts. They replace what the module derives."
  type        = map(string)
  default     = {}
}

variable "analytics_parameters" {
  description = "Further parameters of analytics-account.yaml, such as OutputBucketName."
  type        = map(string)
  default     = {}

  validation {
    condition     = length(setintersection(keys(var.analytics_parameters), ["ExternalId", "PreviousExternalId"])) == 0
    error_message = "What you give here is in the state. Give external IDs with external_id_parameter."
  }
}

variable "data_parameters" {
  description = "Further parameters of data-account.yaml, such as AlarmEmail, Transport or ManagesNotifications."
  type        = map(string)
  default     = {}

  validation {
    condition     = length(setintersection(keys(var.data_parameters), ["ExternalId", "LineageUrl", "LineageApiKey"])) == 0
    error_message = "What you give here is in the state. Give the external ID with external_id_parameter, and lineage a bus (LineageBusArn)."
  }
}

variable "auditor_parameters" {
  description = "Further parameters of auditor.yaml, in both accounts."
  type        = map(string)
  default     = {}
}

variable "tags" {
  description = "Tags of the stacks, which hand them on to their resources."
  type        = map(string)
  default     = {}
}
