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
pub mod judge;
pub mod keeper;
pub mod lambda;
pub mod moto;
pub mod node;
pub mod package;
pub mod progress;
pub mod proxy;
pub mod python;
pub mod shared;
pub mod stacks;

use std::env;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// The account that data lands in.
pub const DATA: &str = "111111111111";
/// The account of the Glue jobs.
pub const ANALYTICS: &str = "222222222222";
pub const REGION: &str = "us-east-1";

/// The root of the checkout that we are run in.
///
/// Found when we run: a path that the compiler wrote down would be another checkout's, where two
/// share a target folder.
pub fn root() -> &'static Path {
    static ROOT: OnceLock<PathBuf> = OnceLock::new();
    ROOT.get_or_init(|| {
        let here = env::current_dir().expect("there is a current folder");
        let root = here.ancestors().find(|folder| folder.join("Cargo.lock").exists());
        root.expect("the current folder lies in the checkout").to_owned()
    })
}

/// Where builds and what is cached between runs go, as cargo has it.
pub fn target_dir() -> PathBuf {
    match env::var_os("CARGO_TARGET_DIR") {
        Some(folder) => root().join(folder),
        None => root().join("target"),
    }
}
