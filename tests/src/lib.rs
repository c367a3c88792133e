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

/// The data account.
pub const DATA: &str = "111111111111";
/// The analytics account.
pub const ANALYTICS: &str = "222222222222";
pub const REGION: &str = "us-east-1";

/// Returns the root of the checkout that we run in.
///
/// It is found at run time: if two checkouts share a target folder, a path from compile time could
/// belong to the other one.
pub fn root() -> &'static Path {
    static ROOT: OnceLock<PathBuf> = OnceLock::new();
    ROOT.get_or_init(|| {
        let here = env::current_dir().expect("there is a current folder");
        let root = here.ancestors().find(|folder| folder.join("Cargo.lock").exists());
        root.expect("the current folder lies in the checkout").to_owned()
    })
}

/// Returns cargo's target folder, where builds and caches go.
pub fn target_dir() -> PathBuf {
    match env::var_os("CARGO_TARGET_DIR") {
        Some(folder) => root().join(folder),
        None => root().join("target"),
    }
}
