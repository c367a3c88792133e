//! Tells the SDK's clients the one partition that this function is in.
//!
//! For each service anew, the SDK parses a list of all partitions and their regions, with a regular expression for
//! each partition: a fifth of the instructions of a start. A client does so even if it is given an endpoint resolver
//! of its own. But [instead of its own list](https://github.com/smithy-lang/smithy-rs/pull/3610) it reads the file
//! that `SMITHY_CLIENT_SDK_CUSTOM_PARTITION` names. All that a function calls is in its own partition, because nobody
//! can assume a role of another one.

use std::fs::File;
use std::io::Write;
use std::os::fd::AsRawFd;

use landfall_core::partition::{dns_suffix, dual_stack_dns_suffix, of_region};
use rustix::fs::{MemfdFlags, memfd_create};

const VARIABLE: &str = "SMITHY_CLIENT_SDK_CUSTOM_PARTITION";

/// Gives the clients that are built from now on the list that has only the partition of `region`. Does nothing if the
/// variable is set, the partition is unknown, or the list can't be read back: then they parse their own.
///
/// Only the first line of a `main` may call it, before there is another thread.
pub(crate) fn narrow(region: &str) {
    if std::env::var_os(VARIABLE).is_some() {
        return;
    }
    if let Some(path) = list(region).and_then(|list| kept_in_memory(&list)) {
        // SAFETY: there is no other thread yet that could read the environment.
        #[expect(unsafe_code, reason = "the SDK has no other setting for it")]
        unsafe {
            std::env::set_var(VARIABLE, path);
        }
    }
}

/// Returns the list. It finds its partition for any region.
fn list(region: &str) -> Option<String> {
    let name = of_region(region)?;
    let (suffix, dual_stack_suffix) = (dns_suffix(name)?, dual_stack_dns_suffix(name)?);
    Some(format!(
        r#"{{"partitions":[{{"id":"{name}","regionRegex":"","regions":{{}},"outputs":{{"name":"{name}","dnsSuffix":"{suffix}","dualStackDnsSuffix":"{dual_stack_suffix}","supportsFIPS":true,"supportsDualStack":true,"implicitGlobalRegion":"{region}"}}}}]}}"#
    ))
}

/// Returns the path of a file that holds `text` in memory, and stays as long as the process.
fn kept_in_memory(text: &str) -> Option<String> {
    let mut file = File::from(memfd_create("partitions", MemfdFlags::CLOEXEC).ok()?);
    file.write_all(text.as_bytes()).ok()?;
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    let is_readable = std::fs::read(&path).is_ok_and(|read| read == text.as_bytes());
    is_readable.then(|| {
        std::mem::forget(file);
        path
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::process::Command;

    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize)]
    struct Listed {
        regions: Vec<String>,
    }

    /// Appends what the SDK answers for a service with each of the switches: the endpoint or the error.
    macro_rules! resolve {
        ($service:ident, $region:expr, $answers:expr $(, $set:ident)?) => {
            use $service::config::endpoint::{DefaultResolver, Params, ResolveEndpoint};
            let resolver = DefaultResolver::new();
            for (fips, dual_stack) in [(false, false), (false, true), (true, false), (true, true)] {
                let params = Params::builder().region($region).use_fips(fips).use_dual_stack(dual_stack);
                let params = params$(.$set("acme-landing"))?.build().expect("all of them are set");
                let answer = match ResolveEndpoint::resolve_endpoint(&resolver, &params).await {
                    Ok(endpoint) => format!("{endpoint:?}"),
                    Err(error) => format!("{error:?}"),
                };
                $answers.push(format!("{} {} {fips} {dual_stack}: {answer}", stringify!($service), $region));
            }
        };
    }

    async fn endpoints(region: &str) -> Vec<String> {
        let mut answers = Vec::new();
        {
            resolve!(aws_sdk_dynamodb, region, answers);
        }
        {
            resolve!(aws_sdk_eventbridge, region, answers);
        }
        {
            resolve!(aws_sdk_glue, region, answers);
        }
        {
            resolve!(aws_sdk_s3, region, answers, bucket);
        }
        {
            resolve!(aws_sdk_sts, region, answers);
        }
        answers
    }

    /// The SDK reads its list once a process, so each partition's list is asked in a process of its own.
    #[tokio::test]
    async fn with_the_list_of_one_partition_the_sdk_finds_the_same_endpoints() {
        const REGIONS: &str = "REGIONS_OF_A_TEST";
        if let Ok(regions) = std::env::var(REGIONS) {
            for region in regions.split(' ').chain(["moon-base-1"]) {
                endpoints(region).await.iter().for_each(|line| println!("answer: {line}"));
            }
            return;
        }
        let listed = include_str!("../../../tests/fixtures/partitions.json");
        let listed: BTreeMap<String, Listed> = serde_json::from_str(listed).expect("partitions");
        for (partition, Listed { mut regions }) in listed {
            // One that the SDK has yet to learn of.
            regions.push(regions[0].replace(char::is_numeric, "9"));
            let path =
                kept_in_memory(&list(&regions[0]).expect("it is known")).expect("it is kept");
            let name = "sdk_partition::tests::with_the_list_of_one_partition_the_sdk_finds_the_same_endpoints";
            let path = path.replace("self", &std::process::id().to_string());
            let asked = Command::new(std::env::current_exe().expect("this program"))
                .args([name, "--exact", "--nocapture"])
                .env(VARIABLE, path)
                .env(REGIONS, regions.join(" "))
                .output()
                .expect("it runs");
            assert!(asked.status.success(), "{partition}: {asked:?}");
            let printed = String::from_utf8(asked.stdout).expect("UTF-8");
            let answers = printed.lines().filter_map(|line| line.split_once("answer: "));
            let answers: Vec<String> = answers.map(|(_, answer)| answer.to_owned()).collect();
            let mut expected = Vec::new();
            for region in &regions {
                expected.extend(endpoints(region).await);
            }
            let (answers, of_elsewhere) = answers.split_last_chunk::<20>().expect("answers");
            assert_eq!(answers, expected, "{partition}");
            // That list was read: it finds its partition for any region.
            let suffix = dns_suffix(&partition).expect("it is known");
            assert!(
                of_elsewhere[0].contains(&format!("dynamodb.moon-base-1.{suffix}")),
                "{of_elsewhere:?}"
            );
        }
    }

    #[test]
    fn of_an_unknown_partition_there_is_no_list() {
        for region in ["", "moon-base-1", "us-isoz-east-1", "eu-west-1\"", "EU-WEST-1"] {
            assert_eq!(list(region), None, "{region}");
        }
    }
}
