//! The local cloud: an emulated AWS with two accounts and IAM switched on, into which Landfall is
//! deployed as its users deploy it. The demo and the end-to-end tests share it.
//!
//! It owns the set-up (Python environment, packaging, deployment) and the teardown. It asserts
//! nothing: that is up to the tests.

pub mod aws_cli;
pub mod cloud;
pub mod command;
pub mod demo;
pub mod emulator;
pub mod interrupt;
pub mod keeper;
pub mod package;
pub mod progress;
pub mod python;

use std::env;
use std::path::{Path, PathBuf};

/// The account that data lands in.
pub const DATA: &str = "111111111111";
/// The account of the Glue jobs.
pub const ANALYTICS: &str = "222222222222";
pub const REGION: &str = "us-east-1";

/// The root of the checkout.
pub fn root() -> &'static Path {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().expect("the package lies in the checkout")
}

/// Where builds and what is cached between runs go, as cargo has it.
pub fn target_dir() -> PathBuf {
    match env::var_os("CARGO_TARGET_DIR") {
        Some(folder) => root().join(folder),
        None => root().join("target"),
    }
}
