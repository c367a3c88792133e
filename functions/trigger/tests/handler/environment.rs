//! The settings that the function reads from its environment.

use landfall_aws::settings::Settings;

use crate::stage::ROUTES;

#[test]
fn all_settings_that_cannot_work_are_reported_together() {
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(file.path(), ROUTES).expect("writable");
    let path = file.path().to_str().expect("a path in UTF-8").to_owned();
    let variable = |name: &str| match name {
        "LANDFALL_ROUTES" => Some(path.clone()),
        "LANDFALL_SOURCE_IDENTITY" => Some("a b".to_owned()),
        "LANDFALL_CLAIMS_TABLE_ARN" => Some("claims".to_owned()),
        "LANDFALL_RETENTION_DAYS" => Some("0".to_owned()),
        // An empty variable counts as not set.
        "LANDFALL_LEDGER_TABLE" => Some(String::new()),
        _ => None,
    };
    let errors = Settings::from_env(variable).expect_err("nothing is set");
    let codes: Vec<&str> = errors.iter().map(|error| error.code()).collect();
    assert_eq!(
        codes,
        [
            "external_id_missing",
            "setting_missing",
            "setting_missing",
            "setting_malformed",
            "setting_malformed",
            "reader_role_malformed",
            "source_identity_malformed",
        ]
    );
}
