use expect_test::expect;

use super::*;

const TEMPLATE: &str = r#"# über
Transform: AWS::Serverless-2016-10-31
Parameters:
  Name: { Type: String, Default: "" }
  Key: { Type: String, NoEcho: true }
Resources:
  Trigger:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: trigger/   # the functïon
      Name: !Sub ${Name}-trigger
  Job:
    Type: AWS::Glue::Job
    Properties: { Command: { ScriptLocation: "glue/jobs/csv_to_parquet.py" } }
  Remote:
    Type: AWS::Serverless::Function
    Properties: { CodeUri: s3://there/already.zip }
  Role:
    Type: Custom::Role
    Condition: Wanted
    DeletionPolicy: RetainExceptOnCreate
    Properties:
      Routes:
        Fn::Transform:
          Name: AWS::Include
          Parameters:
            Location: routes.yaml
"#;

fn uploaded(paths: &[&str]) -> BTreeMap<String, String> {
    paths.iter().map(|path| ((*path).to_owned(), format!("s3://bucket/{path}"))).collect()
}

#[test]
fn local_paths_are_replaced_and_all_else_stays_byte_for_byte() -> anyhow::Result<()> {
    let template = Template::read(TEMPLATE)?;
    let paths = ["trigger/", "glue/jobs/csv_to_parquet.py", "routes.yaml"];
    let rewritten = template.rewritten(&uploaded(&paths), &BTreeMap::new())?;
    let expected = TEMPLATE
        .replace("CodeUri: trigger/", "CodeUri: s3://bucket/trigger/")
        .replace("\"glue/jobs/csv_to_parquet.py\"", "s3://bucket/glue/jobs/csv_to_parquet.py")
        .replace("Location: routes.yaml", "Location: s3://bucket/routes.yaml");
    assert_eq!(rewritten, expected);
    Ok(())
}

#[test]
fn a_path_that_is_nothing_of_the_package_is_an_error() -> anyhow::Result<()> {
    let template = Template::read(TEMPLATE)?;
    let error = template
        .rewritten(&uploaded(&["trigger/", "routes.yaml"]), &BTreeMap::new())
        .expect_err("unknown");
    expect![[
        r#"`Job.Command.ScriptLocation` is `glue/jobs/csv_to_parquet.py`, which is not in the package"#
    ]]
    .assert_eq(&error.to_string());
    Ok(())
}

#[test]
fn a_local_path_that_is_not_packaged_is_an_error() {
    let text = "Resources: { L: { Type: AWS::Serverless::LayerVersion, Properties: { ContentUri: layer/ } } }";
    let error = Template::read(text).expect_err("not packaged");
    expect!["`L.ContentUri` is a local path, which `landfall` can't package"]
        .assert_eq(&error.to_string());
}

#[test]
fn parameters_and_resources_are_found() -> anyhow::Result<()> {
    let template = Template::read(TEMPLATE)?;
    let parameters: Vec<_> = template.parameters.iter().collect();
    expect![[r#"
        [("Key", Parameter { default: None, is_secret: true }), ("Name", Parameter { default: Some(""), is_secret: false })]"#]]
    .assert_eq(&format!("{parameters:?}"));
    let role = template.resources.last().expect("there are resources");
    assert!(role.is_retained && role.condition.as_deref() == Some("Wanted"));
    assert_eq!(template.resources.len(), 4);
    Ok(())
}

#[test]
fn every_template_of_the_checkout_is_read() -> anyhow::Result<()> {
    // Cargo runs tests in their package's folder; what the compiler wrote down can be another checkout's.
    let infra = std::env::current_dir()?.join("../infra");
    let mut found = Vec::new();
    for name in ["artifacts", "provisioner", "analytics-account", "data-account"] {
        let text = std::fs::read_to_string(infra.join(format!("{name}.yaml")))?;
        let template = Template::read(&text)?;
        found.extend(template.local_paths().map(|path| format!("{name}: {path}\n")));
        assert!(template.parameters.len() > 1 || name == "artifacts", "{name}");
    }
    found.sort();
    found.dedup();
    expect![[r#"
        analytics-account: glue/jobs/csv_to_parquet.py
        analytics-account: routes.yaml
        data-account: monitor/
        data-account: reconciler/
        data-account: routes.yaml
        data-account: trigger/
        provisioner: provisioner/
    "#]]
    .assert_eq(&found.concat());
    Ok(())
}

#[test]
fn no_text_makes_reading_panic() {
    for text in [
        "",
        "a",
        "a: [",
        "- {a: b",
        "&a [*a]",
        "Resources: 1",
        "? [a]\n: b",
        "%",
        "\u{feff}a: b",
        "a: |",
    ] {
        let _ = Template::read(text);
    }
}

#[test]
fn the_names_of_what_is_retained_are_written_out() -> anyhow::Result<()> {
    let text = "Resources:
  Kept:
    Type: AWS::DynamoDB::Table
    DeletionPolicy: Retain
    Properties: { TableName: !Sub '${NamePrefix}-ledger-${AWS::AccountId}', Other: !Ref NamePrefix }
  Bucket:
    Type: AWS::S3::Bucket
    DeletionPolicy: RetainExceptOnCreate
    Properties:
      BucketName: !Ref  Given # it
  Unknown:
    Type: AWS::S3::Bucket
    DeletionPolicy: Retain
    Properties: { BucketName: !Sub '${Missing}-x' }
  Goes:
    Type: AWS::S3::Bucket
    Properties: { BucketName: !Ref Given }
";
    let values =
        [("NamePrefix", "landfall"), ("AWS::AccountId", "111111111111"), ("Given", "acme")];
    let values = values.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let rewritten = Template::read(text)?.rewritten(&BTreeMap::new(), &values)?;
    let expected = text
        .replace(
            "!Sub '${NamePrefix}-ledger-${AWS::AccountId}'",
            "\"landfall-ledger-111111111111\"",
        )
        .replace("!Ref  Given #", "\"acme\" #");
    assert_eq!(rewritten, expected);
    Ok(())
}
