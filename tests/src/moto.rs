//! Another implementation of AWS, for the one thing that the emulator has only from us: the limit
//! of concurrent runs of a Glue job. It checks no permissions.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::emulator::{endpoint, on_a_free_port, surroundings, wait_until_it_answers};
use crate::python::Python;
use crate::{ANALYTICS, keeper};

const ANSWERED: Duration = Duration::from_secs(20);

/// A running `moto_server` of the analytics account. Dropping it ends the server and removes its
/// folder.
pub struct Moto {
    keeper: u32,
    port: u16,
    /// Removed when this is dropped.
    _folder: TempDir,
}

impl Moto {
    /// Starts one on a free port and waits until it answers.
    pub fn start(python: &Python) -> Result<Moto> {
        on_a_free_port(|port| {
            let folder = tempfile::Builder::new().prefix("landfall-moto-").tempdir()?;
            let path = folder.path();
            let log = path.join("moto.log");
            let keeper = keeper::start(&command(python, path, port), path, &log)?;
            let moto = Moto { keeper, port, _folder: folder };
            wait_until_it_answers(keeper, port, "/moto-api/data.json", &log)
                .context("the emulator is moto")?;
            Ok(moto)
        })
    }

    pub fn endpoint(&self) -> String {
        endpoint(self.port)
    }

    /// Sets how resources of this model, such as `glue::job_run`, move from one state to the next.
    pub fn set_transition(&self, model: &str, transition: &Value) -> Result<()> {
        let body = json!({ "model_name": model, "transition": transition }).to_string();
        let request = format!(
            "POST /moto-api/state-manager/set-transition HTTP/1.1\r\nhost: localhost\r\n\
             connection: close\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        let ask = || -> io::Result<String> {
            let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))?;
            stream.set_read_timeout(Some(ANSWERED))?;
            stream.write_all(request.as_bytes())?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            Ok(answer)
        };
        let answer = ask().context("failed to set a state transition in moto")?;
        let status = answer.lines().next().unwrap_or_default();
        ensure!(status.contains(" 201 "), "moto refused the state transition: `{status}`");
        Ok(())
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        keeper::stop(self.keeper);
    }
}

fn command(python: &Python, folder: &Path, port: u16) -> Command {
    let mut command = Command::new(python.program("moto_server"));
    command
        .args(["-H", "127.0.0.1", "-p", &port.to_string()])
        .envs(surroundings(python, folder))
        .env("TMPDIR", folder)
        .env("MOTO_ACCOUNT_ID", ANALYTICS);
    command
}
