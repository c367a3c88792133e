//! AWS partitions: which one a region belongs to, and the DNS suffixes of its endpoints.
//!
//! The table follows botocore's `partitions.json`. `tests/python/test_partitions.py` fails when that file is
//! newer. This module never derives a partition from an endpoint.

/// A partition of AWS.
struct Partition {
    name: &'static str,
    /// The beginning of its regions' names. Regions of `aws` begin with any two letters.
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

/// Returns the partition of a region. Returns `None` if `region` isn't a region's name or belongs to an unknown
/// partition. The second word of a region's name shows whether its partition is an isolated one.
pub fn of_region(region: &str) -> Option<&'static str> {
    if !is_region(region) {
        return None;
    }
    let found = PARTITIONS.iter().find(|partition| region.starts_with(partition.regions))?;
    let mut words = region.split('-');
    let is_isolated = |word: &str| word.starts_with("iso");
    let is_commercial = words.next()?.len() == 2 && !is_isolated(words.next()?);
    (found.name != "aws" || is_commercial).then_some(found.name)
}

/// Returns the DNS suffix of a partition's endpoints, or `None` for an unknown partition.
pub fn dns_suffix(partition: &str) -> Option<&'static str> {
    find(partition).map(|known| known.dns_suffix)
}

/// Returns the DNS suffix of a partition's dual-stack endpoints, which IPv6 reaches too, or `None` for an
/// unknown partition.
pub fn dual_stack_dns_suffix(partition: &str) -> Option<&'static str> {
    find(partition).map(|known| known.dual_stack_dns_suffix)
}

/// Returns the region that IAM belongs to in a partition, in which CloudTrail records its calls and delivers the events about them.
/// Returns `None` for a partition of which we don't know it.
pub fn iam_region(partition: &str) -> Option<&'static str> {
    match partition {
        "aws" => Some("us-east-1"),
        "aws-cn" => Some("cn-north-1"),
        "aws-us-gov" => Some("us-gov-west-1"),
        _ => None,
    }
}

/// Returns `true` if `text` has the form of a region's name, such as `eu-west-1`.
pub fn is_region(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let (number, words) = parts.split_last().unwrap_or((&"", &[]));
    words.len() >= 2
        && words.iter().all(|word| is_word(word, |b| b.is_ascii_lowercase()))
        && is_word(number, |b| b.is_ascii_digit())
}

fn is_word(text: &str, is_fine: impl Fn(u8) -> bool) -> bool {
    !text.is_empty() && text.bytes().all(is_fine)
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

    #[test]
    fn the_region_of_iam_is_in_its_partition() {
        let known = PARTITIONS.iter().filter_map(|it| Some((it.name, iam_region(it.name)?)));
        let known: Vec<_> = known.collect();
        assert_eq!(known.len(), 3, "{known:?}");
        for (partition, region) in known {
            assert_eq!(of_region(region), Some(partition));
        }
    }
}
