//! The smallest function that calls AWS as the trigger does for one arrival: six SDK calls for
//! its first event and four for a further one, with items and arguments of the same size, over
//! connections that are kept open. It reads no event, knows no route, and decides nothing.

use aws_config::{Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_dynamodb::types::builders::PutBuilder;
use aws_sdk_dynamodb::types::{AttributeValue, Put, TransactWriteItem};
use lambda_runtime::{Error, LambdaEvent, service_fn};
use landfall_aws::config::of_function;
use serde_json::json;
use serde_json::value::RawValue;
use tokio::sync::OnceCell;

/// The size of the ledger's documents for one arrival.
const CHUNK: usize = 300;
const BATCH: usize = 1_100;
const ARGUMENTS: [&str; 5] = [
    "--city",
    "--landfall-batch-id",
    "--landfall-claims",
    "--landfall-epoch",
    "--landfall-manifest",
];

struct Clients {
    config: SdkConfig,
    dynamodb: aws_sdk_dynamodb::Client,
    s3: aws_sdk_s3::Client,
    sts: aws_sdk_sts::Client,
    glue: OnceCell<aws_sdk_glue::Client>,
    table: String,
    bucket: String,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let config = of_function();
    let clients = &Clients {
        dynamodb: aws_sdk_dynamodb::Client::new(&config),
        s3: aws_sdk_s3::Client::new(&config),
        sts: aws_sdk_sts::Client::new(&config),
        glue: OnceCell::new(),
        table: std::env::var("LANDFALL_LEDGER_TABLE")?,
        bucket: std::env::var("LANDFALL_MANIFESTS_BUCKET")?,
        config,
    };
    lambda_runtime::run(service_fn(async |event: LambdaEvent<Box<RawValue>>| {
        clients.call(&event.context.request_id).await?;
        Ok::<_, Error>(json!({ "batchItemFailures": [] }))
    }))
    .await
}

impl Clients {
    async fn call(&self, id: &str) -> Result<(), Error> {
        let put = |kind: &str, size: usize| self.put(id, kind, size);
        let record =
            self.transact(vec![put("object", 0), put("chunk", CHUNK), put("batch", BATCH)]);
        let manifest = self.s3.put_object().bucket(&self.bucket).key(format!("manifests/{id}"));
        let manifest = manifest.body("x".repeat(CHUNK).into_bytes().into()).send();
        let job = self.glue.get_or_try_init(|| self.assume());
        let (record, manifest, glue) = tokio::join!(record, manifest, job);
        record?;
        manifest?;
        let glue = glue?;
        let start = ARGUMENTS.iter().fold(glue.start_job_run().job_name("job"), |start, name| {
            start.arguments(*name, "x".repeat(40))
        });
        start.send().await?;
        let started = put("batch", BATCH).build()?;
        let write = self.dynamodb.put_item().table_name(&self.table).set_item(Some(started.item));
        write.send().await?;
        Ok(())
    }

    async fn assume(&self) -> Result<aws_sdk_glue::Client, Error> {
        let assume =
            self.sts.assume_role().role_session_name("calls").external_id("external-id-7f3a");
        let assumed =
            assume.role_arn("arn:aws:iam::222222222222:role/landfall/starter").send().await?;
        let given = assumed.credentials.ok_or("STS gives no credentials")?;
        let (key, secret) = (given.access_key_id, given.secret_access_key);
        let credentials = Credentials::new(key, secret, Some(given.session_token), None, "assumed");
        let config = self
            .config
            .to_builder()
            .region(Region::new("eu-west-1"))
            .credentials_provider(SharedCredentialsProvider::new(credentials));
        let glue = aws_sdk_glue::Client::new(&config.build());
        glue.get_job().job_name("job").send().await?;
        Ok(glue)
    }

    async fn transact(&self, puts: Vec<PutBuilder>) -> Result<(), Error> {
        let mut call = self.dynamodb.transact_write_items();
        for put in puts {
            call = call.transact_items(TransactWriteItem::builder().put(put.build()?).build());
        }
        call.send().await?;
        Ok(())
    }

    fn put(&self, id: &str, kind: &str, size: usize) -> PutBuilder {
        let attributes =
            [("pk", format!("{kind}#{id}")), ("sk", kind.to_owned()), ("doc", "x".repeat(size))];
        let put = Put::builder().table_name(&self.table);
        attributes
            .into_iter()
            .fold(put, |put, (name, value)| put.item(name, AttributeValue::S(value)))
    }
}
