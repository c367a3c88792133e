use super::*;

const URL: &str = "LANDFALL_LINEAGE_URL";
const KEY: &str = "LANDFALL_LINEAGE_API_KEY";
const BUS: &str = "LANDFALL_LINEAGE_BUS";
const SWITCH: &str = "LANDFALL_ADMIT_LOOPBACK_LINEAGE_URL";

fn read(given: &[(&str, &str)]) -> Result<Option<Destination>, &'static str> {
    let find = |name: &str| {
        given.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
    };
    Destination::read(find).map_err(|(variable, _)| variable)
}

#[test]
fn lineage_goes_nowhere_unless_the_environment_says_where() {
    assert_eq!(read(&[]), Ok(None));
    assert_eq!(read(&[(SWITCH, "true")]), Ok(None));
    let bus = "arn:aws:events:eu-west-1:111111111111:event-bus/lineage";
    assert_eq!(read(&[(BUS, bus)]), Ok(Some(Destination::Bus(bus.to_owned()))));
    let url = "https://marquez.example.com:5443/api/v1/lineage?key=k";
    let expected = Destination::Http {
        url: Secret::new(url),
        host: "marquez.example.com".to_owned(),
        api_key: Some(Secret::new("k1")),
    };
    assert_eq!(read(&[(URL, url), (KEY, "k1")]), Ok(Some(expected)));
}

#[test]
fn a_url_that_is_not_https_is_refused_unless_it_leads_to_this_machine_and_that_is_admitted() {
    let loopback = ["http://127.0.0.1:5000/x", "http://localhost/x", "http://[::1]:5000/x"];
    for url in loopback {
        assert_eq!(read(&[(URL, url)]), Err(URL), "{url}");
        assert!(read(&[(URL, url), (SWITCH, "true")]).is_ok_and(|to| to.is_some()), "{url}");
    }
    for url in [
        "http://marquez.example.com/api/v1/lineage",
        "http://127.0.0.1.example.com/",
        "ftp://127.0.0.1/",
        "https://user@example.com/",
        "https://user:password@example.com/",
        "https://example.com/#fragment",
        "https://exa mple.com/",
        "https://example.com/\n",
        "https://",
        "example.com",
    ] {
        assert_eq!(read(&[(URL, url), (SWITCH, "true")]), Err(URL), "{url}");
    }
}

#[test]
fn settings_of_lineage_that_contradict_each_other_are_refused() {
    let url = "https://example.com/";
    assert_eq!(read(&[(URL, url), (BUS, "b")]), Err(BUS));
    assert_eq!(read(&[(KEY, "k")]), Err(KEY));
    assert_eq!(read(&[(BUS, "b"), (KEY, "k")]), Err(KEY));
    assert_eq!(read(&[(URL, url), (KEY, "k\nx: y")]), Err(KEY));
    assert_eq!(read(&[(BUS, "a bus")]), Err(BUS));
    assert_eq!(read(&[(URL, url), (SWITCH, "yes")]), Err(SWITCH));
}

#[test]
fn neither_url_nor_key_is_shown() {
    let url = "https://example.com/7f3a?token=7f3a";
    let destination = read(&[(URL, url), (KEY, "7f3a")]).expect("settings").expect("a destination");
    let config = SdkConfig::builder().build();
    let shown = format!("{destination:?} {:?}", Lineage::new(&destination, &config));
    assert!(!shown.contains("7f3a") && shown.contains("example.com"), "{shown}");
}
