//! What a look at a bucket finds out beyond S3's answer.

use landfall_core::bucket_notifications::Look;

use super::*;

/// A bucket that S3 refuses to show, in an account that has the buckets of this list.
async fn refused(status: u16, code: &'static str, listed: Option<&[&str]>) -> Bucket {
    let server = MockServer::start().await;
    Mock::given(method("GET"))
        .and(query_param("notification", ""))
        .respond_with(error(status, code))
        .mount(&server)
        .await;
    let list = match listed {
        None => error(403, "AccessDenied"),
        Some(names) => {
            let one = |name: &&str| format!("<Bucket><Name>{name}</Name></Bucket>");
            let all: String = names.iter().map(one).collect();
            let body = format!(
                "<ListAllMyBucketsResult><Buckets>{all}</Buckets></ListAllMyBucketsResult>"
            );
            ResponseTemplate::new(200).set_body_raw(body, "application/xml")
        }
    };
    Mock::given(method("GET"))
        .and(query_param("prefix", "landing"))
        .respond_with(list)
        .mount(&server)
        .await;
    Bucket { server }
}

async fn look_at(bucket: &Bucket, patience: Duration) -> Look {
    look(&bucket.s3(), "landing", ACCOUNT, Instant::now() + patience).await
}

#[tokio::test]
async fn what_refuses_is_anothers_only_if_the_account_does_not_list_it() {
    let moment = Duration::from_millis(1_500);
    let anothers = refused(403, "AccessDenied", Some(&["landing-2"])).await;
    let gone = refused(404, "NoSuchBucket", None).await;
    let far = refused(301, "PermanentRedirect", None).await;
    for (bucket, why) in [
        (anothers, "it is no bucket of account 111111111111"),
        (gone, "there is no such bucket"),
        (far, "it is in another region"),
    ] {
        // The look does not wait.
        assert_eq!(look_at(&bucket, Duration::from_secs(60)).await, Look::NotOurs(why.to_owned()));
    }
    let closed = look_at(&refused(403, "AccessDenied", Some(&["landing"])).await, moment).await;
    let Look::Refused(why) = closed else { panic!("{closed:?}") };
    assert_eq!(why, "AccessDenied: said no; the bucket is of account 111111111111");
    let unknown = look_at(&refused(403, "AccessDenied", None).await, moment).await;
    let Look::Refused(why) = unknown else { panic!("{unknown:?}") };
    assert!(why.contains("is not known"), "{why}");
}

#[tokio::test]
async fn a_look_that_has_no_answer_ends_in_time_and_is_no_refusal() {
    let moment = Duration::from_millis(1_500);
    let begun = Instant::now();
    // The SDK itself makes three attempts, with pauses.
    let busy = look_at(&refused(503, "SlowDown", None).await, Duration::from_secs(5)).await;
    assert_eq!(busy, Look::Failed("SlowDown: said no".to_owned()));
    let server = MockServer::start().await;
    let late = ResponseTemplate::new(200).set_delay(Duration::from_secs(60));
    Mock::given(method("GET")).respond_with(late).mount(&server).await;
    let silent = look_at(&Bucket { server }, moment).await;
    assert_eq!(silent, Look::Failed("S3 did not answer in time".to_owned()));
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
}
