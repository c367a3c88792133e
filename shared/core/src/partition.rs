//! AWS's partitions: which one a region is in, and how the names of its endpoints end.
//!
//! After botocore's `partitions.json`; `tests/python/test_partitions.py` tells when that is newer. Nothing
//! here reads what an endpoint says of itself.

/// A partition of AWS's.
struct Partition {
    name: &'static str,
    /// What the names of its regions begin with. Those of `aws` begin with any two letters.
    regions: &'static str,
    dns_suffix: &'static str,
    dual_stack_dns_suffix: &'static str,
}

const PARTITIONS: [Partition; 8] = [
    of("aws-cn", "cn-", "amazonaws.com.cn", "api.amazonwebservices.com.cn"),
    of("aws-us-gov", "us-gov-", "amazonaws.com", "api.aws"),
    of("aws-iso", "us-iso-", "c2s.ic.gov", "api.aws.ic.gov"),
    of("aws-iso-b", "us-isob-", "sc2s.sgov.gov", "api.aws.scloud"),
    of("aws-iso-e", "eu-isoe-", "cloud.adc-e.uk", "api.cloud-aws.adc-e.uk"),
    of("aws-iso-f", "us-isof-", "csp.hci.ic.gov", "api.aws.hci.ic.gov"),
    of("aws-eusc", "eusc-", "amazonaws.eu", "api.amazonwebservices.eu"),
    of("aws", "", "amazonaws.com", "api.aws"),
];

const fn of(
    name: &'static str,
    regions: &'static str,
    dns_suffix: &'static str,
    dual_stack_dns_suffix: &'static str,
) -> Partition {
    Partition { name, regions, dns_suffix, dual_stack_dns_suffix }
}

/// The partition of a region by its name; `None` for what is no region's name, or one of a partition that
/// is not known: isolated ones are told by their second word.
pub fn of_region(region: &str) -> Option<&'static str> {
    if !crate::arn::is_region(region) {
        return None;
    }
    let found = PARTITIONS.iter().find(|partition| region.starts_with(partition.regions))?;
    let mut words = region.split('-');
    let is_isolated = |word: &str| word.starts_with("iso");
    let is_commercial = words.next()?.len() == 2 && !is_isolated(words.next()?);
    (found.name != "aws" || is_commercial).then_some(found.name)
}

/// The end of the names of a partition's endpoints; `None` for a partition that is not known.
pub fn dns_suffix(partition: &str) -> Option<&'static str> {
    find(partition).map(|known| known.dns_suffix)
}

/// The same of endpoints that are reached by IPv6 too.
pub fn dual_stack_dns_suffix(partition: &str) -> Option<&'static str> {
    find(partition).map(|known| known.dual_stack_dns_suffix)
}

fn find(partition: &str) -> Option<&'static Partition> {
    PARTITIONS.iter().find(|known| known.name == partition)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize)]
    struct Listed {
        dns_suffix: String,
        dual_stack_dns_suffix: String,
        regions: Vec<String>,
    }

    #[test]
    fn every_partition_and_region_that_aws_lists_is_known() {
        let listed = include_str!("../../../tests/fixtures/partitions.json");
        let listed: BTreeMap<String, Listed> = serde_json::from_str(listed).expect("partitions");
        assert_eq!(listed.len(), PARTITIONS.len());
        for (name, listed) in &listed {
            assert_eq!(dns_suffix(name), Some(listed.dns_suffix.as_str()), "{name}");
            let dual_stack = dual_stack_dns_suffix(name);
            assert_eq!(dual_stack, Some(listed.dual_stack_dns_suffix.as_str()), "{name}");
            assert!(!listed.regions.is_empty(), "{name}");
            for region in &listed.regions {
                assert_eq!(of_region(region), Some(name.as_str()), "{region}");
            }
        }
    }

    #[test]
    fn what_aws_does_not_list_has_no_partition() {
        for region in ["", "eu", "eu-west", "us-isoz-east-1", "moon-base-1", "EU-WEST-1", "cn-1"] {
            assert_eq!(of_region(region), None, "{region}");
        }
        assert_eq!(of_region("mx-central-1"), Some("aws"));
        assert_eq!(dns_suffix("aws-moon"), None);
    }
}
