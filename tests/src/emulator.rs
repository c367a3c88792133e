//! Starts and stops the emulated AWS.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use crate::command::last_lines;
use crate::python::Python;
use crate::{REGION, keeper, root};

const TIME_TO_START: Duration = Duration::from_secs(60);
const ATTEMPTS: usize = 3;

/// A running emulator. Dropping it ends the emulator and everything that it started, and removes
/// its folder.
pub struct Emulator {
    keeper: u32,
    port: u16,
    folder: TempDir,
}

impl Emulator {
    /// Starts one on a free port, with IAM switched on, and waits until it answers. A minute of its
    /// schedules and alarms can be shorter than a real one. `more` has variables for the launcher,
    /// which documents them.
    pub fn start(
        python: &Python,
        minute: Option<Duration>,
        more: &[(&str, String)],
    ) -> Result<Emulator> {
        on_a_free_port(|port| Emulator::attempt(python, minute, more, port))
    }

    fn attempt(
        python: &Python,
        minute: Option<Duration>,
        more: &[(&str, String)],
        port: u16,
    ) -> Result<Emulator> {
        let folder = tempfile::Builder::new().prefix("landfall-").tempdir()?;
        let path = folder.path();
        for name in ["home", "tmp", "stage"] {
            fs::create_dir(path.join(name))?;
        }
        let mut command = Command::new(python.program("python"));
        command
            .arg(root().join("tests/emulator/launcher.py"))
            .envs(surroundings(python, path))
            .env("TMPDIR", path.join("tmp"))
            .env("AUTH", "true")
            .env("GATEWAY_PORT", port.to_string())
            .env("BIND_HOST", "127.0.0.1")
            .env("MINISTACK_REGION", REGION)
            // The emulator would listen on fixed ports of every interface for these services.
            // Nothing here uses them.
            .env("IOT_MTLS_ENABLED", "0")
            .env("SFTP_ENABLED", "0")
            // Functions inherit the emulator's environment, and find the emulator through this
            // variable.
            .env("AWS_ENDPOINT_URL", endpoint(port))
            .envs(more.iter().map(|(name, value)| (name, value)));
        if let Some(minute) = minute {
            command.env("LOCAL_CLOUD_MINUTE_SECONDS", minute.as_secs_f64().to_string());
        }
        let log = path.join("emulator.log");
        let emulator = Emulator { keeper: keeper::start(&command, path, &log)?, port, folder };
        wait_until_it_answers(emulator.keeper, port, "/_ministack/health", &log)?;
        Ok(emulator)
    }

    pub fn endpoint(&self) -> String {
        endpoint(self.port)
    }

    /// Returns a temporary folder, which is removed with the emulator.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn log_file(&self) -> PathBuf {
        self.folder.path().join("emulator.log")
    }

    pub fn log(&self) -> String {
        read(&self.log_file())
    }

    pub fn has_ended(&self) -> bool {
        keeper::has_ended(self.keeper)
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        keeper::stop(self.keeper);
    }
}

/// Returns the whole environment of the local cloud's programs. It has nothing from the user's
/// environment.
pub fn surroundings(python: &Python, folder: &Path) -> [(&'static str, String); 6] {
    [
        ("PATH", python.path()),
        ("HOME", folder.join("home").display().to_string()),
        ("LANG", "C.UTF-8".to_owned()),
        ("AWS_REGION", REGION.to_owned()),
        ("AWS_DEFAULT_REGION", REGION.to_owned()),
        ("AWS_EC2_METADATA_DISABLED", "true".to_owned()),
    ]
}

pub(crate) fn endpoint(port: u16) -> String {
    format!("http://127.0.0.1:{port}")
}

/// Retries because another program may take the port between the moment it was free and its use.
pub(crate) fn on_a_free_port<T>(attempt: impl Fn(u16) -> Result<T>) -> Result<T> {
    let mut problem = None;
    for _ in 0..ATTEMPTS {
        match free_port().and_then(&attempt) {
            Ok(started) => return Ok(started),
            Err(error) => problem = Some(error),
        }
    }
    Err(problem.expect("at least one attempt was made"))
}

/// Waits until the program that this keeper started answers requests for `path`.
pub(crate) fn wait_until_it_answers(keeper: u32, port: u16, path: &str, log: &Path) -> Result<()> {
    let deadline = Instant::now() + TIME_TO_START;
    while !answers(port, path) {
        if keeper::has_ended(keeper) || Instant::now() > deadline {
            let said = last_lines(&read(log), 30);
            bail!("failed to start the emulator on port {port}; its log ends:\n{said}");
        }
        thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

fn read(log: &Path) -> String {
    fs::read(log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}

fn free_port() -> Result<u16> {
    let listener =
        TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("failed to find a free port")?;
    Ok(listener.local_addr()?.port())
}

fn answers(port: u16, path: &str) -> bool {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let ask = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1))?;
        stream.set_read_timeout(Some(Duration::from_secs(2)))?;
        let request =
            format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes())?;
        let mut answer = [0; 64];
        let length = stream.read(&mut answer)?;
        Ok(String::from_utf8_lossy(&answer[..length]).into_owned())
    };
    ask().is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"))
}
