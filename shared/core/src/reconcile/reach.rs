//! What the reconciler must be allowed to list and to read.

use std::collections::BTreeSet;

use crate::routes::Routes;

/// What the passes over all routes list and read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reach {
    /// The buckets that are listed: those of the routes, and those of their inventories.
    pub buckets: BTreeSet<String>,
    /// What the listed keys begin with, in any of these buckets, as patterns of IAM. Empty if all keys are listed.
    pub prefixes: BTreeSet<String>,
    /// The objects that are read: those of inventories, as buckets and patterns of keys.
    pub inventories: BTreeSet<String>,
}

impl Reach {
    /// Returns what the routes ask for.
    pub fn of(routes: &Routes) -> Self {
        let mut reach = Self::default();
        let mut lists_all = false;
        for route in routes.routes.iter() {
            let Some(reconcile) = &route.reconcile else { continue };
            let (beginning, _) = route.key.literal_ends();
            lists_all |= beginning.is_empty();
            reach.buckets.insert(route.bucket.clone());
            reach.prefixes.insert(format!("{}*", literal(&beginning)));
            if let Some(place) = &reconcile.inventory {
                reach.buckets.insert(place.bucket.clone());
                let keys = format!("{}*", literal(&place.prefix));
                reach.inventories.insert(format!("{}/{keys}", place.bucket));
                reach.prefixes.insert(keys);
            }
        }
        if lists_all {
            // A request that names no prefix has no condition key for it.
            reach.prefixes.clear();
        }
        reach
    }
}

/// Returns a pattern of IAM for this text. What would mean something else in a pattern, in a list or in a parameter, matches
/// any character there.
fn literal(text: &str) -> String {
    let pattern = |c: char| match c {
        ',' | '$' => '?',
        c if c.is_ascii_graphic() || c == ' ' => c,
        _ => '*',
    };
    text.chars().map(pattern).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reach(routes: &[(&str, &str, &str)]) -> Reach {
        let mut text = "version: 1\nroutes:\n".to_owned();
        for (number, (bucket, key, more)) in routes.iter().enumerate() {
            text.push_str(&format!(
                "  - {{ name: r{number}, bucket: {bucket}, key: \"{key}\", wide: true, start: {{ target: none }}{more} }}\n"
            ));
        }
        let parsed = Routes::parse(&text);
        Reach::of(&parsed.routes.unwrap_or_else(|| panic!("{:?}", parsed.problems)))
    }

    const DAILY: &str = ", reconcile: { every: 1d, action: start }";
    const BY_INVENTORY: &str = ", reconcile: { every: 1d, action: start, inventory: \"s3://inventories/acme-landing/all/\" }";

    fn texts(of: &BTreeSet<String>) -> Vec<&str> {
        of.iter().map(String::as_str).collect()
    }

    #[test]
    fn only_what_reconciled_routes_begin_with_is_listed_and_only_inventories_are_read() {
        let found = reach(&[
            ("acme-landing", "orders/dt={dt}/{file}", BY_INVENTORY),
            ("acme-items", "items, ü/{file}", DAILY),
            ("payroll", "{file}", ""),
        ]);
        assert_eq!(texts(&found.buckets), ["acme-items", "acme-landing", "inventories"]);
        assert_eq!(texts(&found.prefixes), ["acme-landing/all/*", "items? */*", "orders/dt=*"]);
        assert_eq!(texts(&found.inventories), ["inventories/acme-landing/all/*"]);
        assert_eq!(reach(&[("payroll", "{file}", "")]), Reach::default());
    }

    #[test]
    fn a_route_that_takes_keys_of_any_beginning_is_listed_without_a_prefix() {
        let found =
            reach(&[("acme-landing", "orders/{file}", DAILY), ("acme-items", "{file}", DAILY)]);
        assert_eq!(found.prefixes, BTreeSet::new());
    }
}
