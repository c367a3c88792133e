//! AWS's partitions: which one a region is in, and how the names of its endpoints end.
//!
//! After botocore's `partitions.json`. Nothing here reads what an endpoint says of itself.

/// The partition of a region by its name; `None` for what is no region's name, or one of a partition that
/// is not known. New regions begin as those of `aws` do, and isolated ones are told by their second word.
pub fn of_region(region: &str) -> Option<&'static str> {
    if !crate::arn::is_region(region) {
        return None;
    }
    let mut words = region.split('-');
    match (words.next()?, words.next()?) {
        ("cn", _) => Some("aws-cn"),
        ("us", "gov") => Some("aws-us-gov"),
        ("us", "iso") => Some("aws-iso"),
        ("us", "isob") => Some("aws-iso-b"),
        ("eu", "isoe") => Some("aws-iso-e"),
        ("us", "isof") => Some("aws-iso-f"),
        ("eusc", _) => Some("aws-eusc"),
        (_, word) if word.starts_with("iso") => None,
        (word, _) => (word.len() == 2).then_some("aws"),
    }
}

/// The end of the names of a partition's endpoints; `None` for a partition that is not known.
pub fn dns_suffix(partition: &str) -> Option<&'static str> {
    Some(match partition {
        "aws" | "aws-us-gov" => "amazonaws.com",
        "aws-cn" => "amazonaws.com.cn",
        "aws-iso" => "c2s.ic.gov",
        "aws-iso-b" => "sc2s.sgov.gov",
        "aws-iso-e" => "cloud.adc-e.uk",
        "aws-iso-f" => "csp.hci.ic.gov",
        "aws-eusc" => "amazonaws.eu",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_tells_its_partition_and_that_the_end_of_names() {
        for (region, partition, suffix) in [
            ("eu-west-1", "aws", "amazonaws.com"),
            ("mx-central-1", "aws", "amazonaws.com"),
            ("us-gov-west-1", "aws-us-gov", "amazonaws.com"),
            ("cn-north-1", "aws-cn", "amazonaws.com.cn"),
            ("us-iso-east-1", "aws-iso", "c2s.ic.gov"),
            ("us-isob-east-1", "aws-iso-b", "sc2s.sgov.gov"),
            ("eu-isoe-west-1", "aws-iso-e", "cloud.adc-e.uk"),
            ("us-isof-south-1", "aws-iso-f", "csp.hci.ic.gov"),
            ("eusc-de-east-1", "aws-eusc", "amazonaws.eu"),
        ] {
            assert_eq!(of_region(region), Some(partition), "{region}");
            assert_eq!(dns_suffix(partition), Some(suffix), "{partition}");
        }
        for region in ["", "eu", "eu-west", "us-isoz-east-1", "moon-base-1", "EU-WEST-1"] {
            assert_eq!(of_region(region), None, "{region}");
        }
        assert_eq!(dns_suffix("aws-moon"), None);
    }
}
