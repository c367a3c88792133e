//! The routes that an object is judged by, and where they are from.

use std::ffi::OsStr;
use std::fmt;

use anyhow::Context;
use landfall_core::routes::Routes;
use landfall_inspection::{Clients, cloudformation};

use crate::version;

/// Routes that somebody read.
#[derive(Debug, Clone)]
pub struct Known {
    pub from: Source,
    pub routes: Routes,
    /// The text of the routes file.
    pub text: String,
}

/// Where routes are from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A file that the user names.
    File(String),
    /// The data account's stack of this name, which was deployed with them.
    Stack(String),
}

impl Known {
    /// Returns what the routes are called in a sentence.
    pub fn name(&self) -> String {
        match &self.from {
            Source::File(name) => format!("the routes in {name}"),
            Source::Stack(stack) => {
                format!("the routes that stack `{stack}` was deployed with")
            }
        }
    }
}

/// Takes the routes that the user names.
pub fn from_file(name: &OsStr, routes: Routes, text: String) -> anyhow::Result<Known> {
    let name = name.to_str().context("the routes file's name isn't UTF-8")?.to_owned();
    Ok(Known { from: Source::File(name), routes, text })
}

/// Returns the name of the stack that a ledger belongs to, or says that nobody knows it.
pub fn stack_of(table: &str) -> Result<&str, String> {
    version::stack_of(table).ok_or_else(|| {
        format!(
            "table `{table}` doesn't tell the name of its stack: give the routes file with --routes"
        )
    })
}

/// Reads the routes that a stack was deployed with, or says why it can't.
pub async fn deployed(clients: &Clients, stack: &str) -> Result<Known, String> {
    let cannot = |why: &dyn fmt::Display| {
        format!(
            "the routes that stack `{stack}` was deployed with can't be read: {why}. Or give the routes file with --routes"
        )
    };
    let text = cloudformation::routes(clients, stack).await;
    let text = text.map_err(|unseen| cannot(&unseen))?;
    let routes = Routes::parse(&text).routes;
    let routes =
        routes.ok_or_else(|| cannot(&"this version of `landfall` finds errors in them"))?;
    Ok(Known { from: Source::Stack(stack.to_owned()), routes, text })
}
