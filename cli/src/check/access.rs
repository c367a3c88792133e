//! Says what `access: bucket_policy` means for each route that has it.

use landfall_core::routes::{Access, Routes};

/// Returns a note for each route with `access: bucket_policy`.
pub fn notes(routes: &Routes) -> Vec<String> {
    let note = |route: &landfall_core::routes::Route| {
        format!(
            "route `{}`: its job reads with its own role, because Landfall adds statements to the policy of bucket \
             `{}`; unless the job has Landfall's job role, give its role to `landfall deploy` with `--parameter \
             data:OtherJobRoleArns=ARN`, and let that role's own policy read there too",
            route.name, route.bucket
        )
    };
    routes.routes.iter().filter(|it| it.access == Access::BucketPolicy).map(note).collect()
}
