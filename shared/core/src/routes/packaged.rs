//! The form of routes that functions read: packaged beside the text, and resolved already. A function that starts
//! reads only the routes that its event needs, and what leads to them, so a start takes about the same with two routes
//! as with 500.
//!
//! The text stays the truth. The packaged form holds a copy of the text that it was made from, and counts only beside
//! that very text, and only for the version of Landfall that made it. (Comparing 100 KB takes 15,000
//! instructions, and hashing them 5 million.) Of an external ID, it has the name of the variable at most.
//!
//! It is a line with the form, the version and a checksum of the rest, an index as JSON, the text, and the [`List`]s
//! of the routes and of their routers.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{ExternalId, Parsed, Routes, Target};
use crate::packed::{List, Packed};
use crate::router::{Lengths, Router};

const NAME: &str = "landfall-routes ";

/// The version of Landfall and of the form. Count up the latter when the packaged bytes of the same routes change: a
/// version of Landfall that isn't released yet keeps its number.
const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), "/1");

/// Routes that were packaged.
#[derive(Debug)]
pub struct Unpackaged {
    /// The routes, as their text gives them.
    pub routes: Routes,
    /// What parsing the text warned of.
    pub warnings: Vec<String>,
}

/// The reason why a function parses the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the messages describe the variants")]
pub enum Unusable {
    #[error("it was made from another text than the one beside it")]
    OtherText,
    #[error("another version of Landfall made it")]
    OtherVersion,
    #[error("it is damaged")]
    Damaged,
}

/// What stands before the text and the lists.
#[derive(Serialize, Deserialize)]
struct Index {
    warnings: Vec<String>,
    targets: BTreeMap<String, PackagedTarget>,
    with_marker: Vec<usize>,
    /// The lengths of what follows, in bytes, in this order.
    text: usize,
    routes: Vec<usize>,
    router: Lengths,
    markers: Lengths,
}

/// A [`Target`] that can't hold an external ID itself.
#[derive(Serialize, Deserialize)]
struct PackagedTarget {
    account: String,
    region: String,
    starter_role_arn: String,
    external_id_variable: Option<String>,
}

/// Resolves the text of a routes file for functions. Returns `None` if it isn't valid, or if it holds an external ID
/// itself, which then stays in one file.
pub fn package(text: &str) -> Option<Vec<u8>> {
    let Parsed { routes, problems } = Routes::parse(text);
    let Routes { targets, routes, router, markers, with_marker } = routes?;
    let targets = targets.into_iter().map(|(name, target)| Some((name, packaged(target)?)));
    let mut lists = Vec::new();
    let index = Index {
        warnings: problems.iter().map(ToString::to_string).collect(),
        targets: targets.collect::<Option<_>>()?,
        with_marker,
        text: text.len(),
        routes: routes.pack(&mut lists).ok()?,
        router: router.pack(&mut lists).ok()?,
        markers: markers.pack(&mut lists).ok()?,
    };
    let rest = [&serde_json::to_vec(&index).ok()?, text.as_bytes(), &lists].concat();
    let line = format!("{NAME}{VERSION} {:08x}\n", crc32fast::hash(&rest));
    Some([line.as_bytes(), &rest].concat())
}

/// Returns the routes that `file` was packaged from, if that is `text` and this version of Landfall has packaged it.
///
/// # Errors
/// Returns the reason to parse the text instead.
pub fn unpackage(file: Vec<u8>, text: &[u8]) -> Result<Unpackaged, Unusable> {
    let end = file.iter().position(|byte| *byte == b'\n').ok_or(Unusable::Damaged)?;
    let line = std::str::from_utf8(&file[..end]).map_err(|_| Unusable::Damaged)?;
    let (version, sum) =
        line.strip_prefix(NAME).and_then(|rest| rest.split_once(' ')).ok_or(Unusable::Damaged)?;
    if version != VERSION {
        return Err(Unusable::OtherVersion);
    }
    let rest = &file[end + 1..];
    if sum != format!("{:08x}", crc32fast::hash(rest)) {
        return Err(Unusable::Damaged);
    }
    let mut indices = serde_json::Deserializer::from_slice(rest).into_iter::<Index>();
    let index = indices.next().and_then(Result::ok).ok_or(Unusable::Damaged)?;
    let lists = indices.byte_offset() + index.text;
    if rest.get(indices.byte_offset()..lists).ok_or(Unusable::Damaged)? != text {
        return Err(Unusable::OtherText);
    }
    let targets = index.targets.into_iter().map(|(name, it)| (name.clone(), unpackaged(name, it)));
    let mut packed = Packed::new(file, end + 1 + lists);
    let lists = || {
        let routes = List::unpack(&mut packed, &index.routes)?;
        let router = Router::unpack(&mut packed, index.router)?;
        let markers = Router::unpack(&mut packed, index.markers)?;
        packed.is_used_up().then_some((routes, router, markers))
    };
    let (routes, router, markers) = lists().ok_or(Unusable::Damaged)?;
    let routes = Routes {
        targets: targets.collect(),
        routes,
        router,
        markers,
        with_marker: index.with_marker,
    };
    Ok(Unpackaged { routes, warnings: index.warnings })
}

fn packaged(target: Target) -> Option<PackagedTarget> {
    let Target { account, region, starter_role_arn, external_id, .. } = target;
    let external_id_variable = match external_id {
        None => None,
        Some(ExternalId::Variable(name)) => Some(name),
        Some(ExternalId::Literal(_)) => return None,
    };
    Some(PackagedTarget { account, region, starter_role_arn, external_id_variable })
}

fn unpackaged(name: String, target: PackagedTarget) -> Target {
    let PackagedTarget { account, region, starter_role_arn, external_id_variable } = target;
    let external_id = external_id_variable.map(ExternalId::Variable);
    Target { name, account, region, starter_role_arn, external_id }
}
