//! The keys that Spark can be given: it reads all those that `paths` names to it, and could read
//! none of those that `paths` refuses.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::stage::Stage;

const READ: [&str; 22] = [
    "a b.csv",
    "a+b%2Bc%20d%.csv",
    "dt=2026-01-01/x=y==.csv",
    "what?version=1#part&amp;<x>",
    "Zürich/東京/🌧️/\u{202e}.csv",
    "quote\"'tick`.csv",
    "back\\slash\\*.csv",
    "line\nbreak\ttab\rand\u{7f}*",
    "--landfall-batch-id",
    "t=12:00/a:b.csv",
    "star*.csv",
    "[ab]^{c,d}].csv",
    "${user.home}$x.csv",
    "_a=b.csv",
    "_dir/.dir/a.csv",
    "_temporary/a.csv",
    "a_$folder$/x.csv",
    "x._COPYING_/a.csv",
    " lead and trail ",
    "a..",
    "%2e%2e/;,|~.csv",
    "both/child.csv",
];

const REFUSED: [&str; 15] = [
    "/a.csv",
    "x//a.csv",
    "x/./a.csv",
    "x/../a.csv",
    "folder/",
    "_hidden.csv",
    ".hidden=1.csv",
    "...",
    "x._COPYING_",
    "x_$folder$",
    "_spark_metadata/a.csv",
    "x/_spark_metadata",
    "a:b*.csv",
    "c:d/[x].csv",
    // For an emulator's list, this shows that S3A can't read the list that holds the key.
    "vt\u{b}.csv",
];

pub fn spark_reads_every_key_that_is_named_to_it_and_none_that_is_refused(
    stage: &Stage,
) -> Result<()> {
    let mut keys: Vec<String> =
        READ.iter().chain(&REFUSED).map(|name| format!("in/keys/{name}")).collect();
    // Another key lies below this one. Spark reads that other key.
    keys.push("in/keys/both".to_owned());
    let list = "in/keys/list.json";
    stage.cloud.wait(async {
        for (place, key) in keys.iter().enumerate() {
            stage.upload(key, place.to_string()).await?;
        }
        stage.upload(list, json!(keys).to_string()).await?;
        let batch = stage.succeeded("keys", list).await?;
        let printed = stage.printed(&batch.runs[0].run_id);
        let of = |place: usize| -> Result<&Value> {
            let found = printed.iter().find(|line| line["place"] == place);
            found.with_context(|| format!("there is no outcome for `{:?}`", keys[place]))
        };
        for (place, key) in keys.iter().enumerate().take(READ.len() + REFUSED.len()) {
            let report = of(place)?;
            let is_read = place < READ.len();
            ensure!(report["admitted"] == is_read, "`{key:?}`: {report}");
            ensure!((report["outcome"] == "read") == is_read, "`{key:?}`: {report}");
        }
        // The key alone doesn't show that it is a folder too. A batch that has both keys does.
        let both = of(keys.len() - 1)?;
        ensure!(both["outcome"] == "other: ['21']" && both["admitted"] == true, "{both}");
        let refused = printed.iter().find_map(|line| line.get("refused"));
        ensure!(refused == Some(&json!(["in/keys/both"])), "{refused:?}");
        Ok(())
    })
}
