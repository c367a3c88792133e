use proptest::prelude::*;

use super::*;
use crate::bucket_notifications::{Destination, EVENT, Entry, Filter, without};

const OWNER: &str = "trigger";
const BUCKETS: [&str; 4] = ["acme-a", "acme-b", "acme-c", "acme-d"];

/// The buckets that the routes name, each with the prefix of its keys.
type Properties = BTreeMap<String, String>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Access {
    Ours,
    NotOurs,
    Refused,
}

#[derive(Debug, Clone)]
struct World {
    buckets: BTreeMap<String, (Access, Configuration)>,
    /// The buckets in which a put was tried.
    announced: BTreeSet<String>,
    /// For each call from now on: whether it fails and, if so, whether it takes effect all the
    /// same. After the end of the list, all calls succeed.
    faults: Vec<Option<bool>>,
}

fn desired(properties: &Properties) -> BTreeMap<String, Desired> {
    let one = |prefix: &String| Desired {
        owner: OWNER.to_owned(),
        destination: Destination::Queue("queue".to_owned()),
        filters: vec![Filter { prefix: prefix.clone(), suffix: String::new() }],
    };
    properties.iter().map(|(bucket, prefix)| (bucket.clone(), one(prefix))).collect()
}

fn of_others() -> Configuration {
    let rule = Entry {
        id: Some("theirs".to_owned()),
        arn: "function".to_owned(),
        events: vec![EVENT.to_owned()],
        filter_rules: Vec::new(),
    };
    let suffix = crate::bucket_notifications::FilterRule {
        name: "Prefix".to_owned(),
        value: "theirs%2F".to_owned(),
    };
    let rule = Entry { filter_rules: vec![suffix], ..rule };
    Configuration { functions: vec![rule], ..Configuration::default() }
}

impl World {
    fn new() -> Self {
        let bucket = |name: &&str| ((*name).to_owned(), (Access::Ours, of_others()));
        let buckets = BUCKETS.iter().map(bucket).collect();
        Self { buckets, announced: BTreeSet::new(), faults: Vec::new() }
    }

    fn fault(&mut self) -> Option<bool> {
        self.faults.pop().flatten()
    }

    fn look(&mut self, bucket: &str) -> Look {
        let fault = self.fault();
        let (access, found) = &self.buckets[bucket];
        match (fault, access) {
            (Some(_), _) => Look::Failed("a fault".to_owned()),
            (None, Access::Ours) => Look::Found(found.clone()),
            (None, Access::NotOurs) => Look::NotOurs("another's".to_owned()),
            (None, Access::Refused) => Look::Refused("denied".to_owned()),
        }
    }

    fn carry_out(&mut self, effect: &Effect, wanted: &BTreeMap<String, Desired>) -> bool {
        let fault = self.fault();
        let (access, found) = self.buckets.get_mut(effect.bucket()).expect("a bucket");
        if *access != Access::Ours || fault == Some(false) {
            return false;
        }
        let next = match effect {
            Effect::Put(bucket) => merge(found, &wanted[bucket]).expect("no conflict"),
            Effect::Remove(_) => without(found, OWNER),
        };
        *found = next.unwrap_or_else(|| found.clone());
        fault.is_none()
    }

    /// Serves a request as the provisioner does. Calls `looks_fine` after each effect.
    fn serve(
        &mut self,
        aim: Aim,
        new: &Properties,
        old: &Properties,
        looks_fine: impl Fn(&Self),
    ) -> bool {
        let wanted = desired(new);
        let names = new.keys().chain(old.keys());
        let looks: BTreeMap<_, _> = names.map(|name| (name.clone(), self.look(name))).collect();
        let Ok(plan) = plan(aim, &wanted, &looks, Some(&self.announced)) else { return false };
        self.announced.extend(plan.effects.iter().filter_map(|effect| match effect {
            Effect::Put(bucket) => Some(bucket.clone()),
            Effect::Remove(_) => None,
        }));
        let mut is_done = true;
        for effect in &plan.effects {
            is_done &= self.carry_out(effect, &wanted);
            looks_fine(self);
            if !is_done && !aim.goes_on_after_a_failure() {
                return false;
            }
        }
        is_done
    }

    fn can(&self, bucket: &str, access: Access) -> bool {
        self.buckets[bucket].0 == access
    }

    fn has_rule(&self, bucket: &str) -> bool {
        self.buckets[bucket].1.is_ours(OWNER)
    }

    /// Returns `true` if each bucket in reach is as `properties` say and no rule of another owner
    /// is lost.
    fn is_as(&self, properties: &Properties, named_before: &Properties) -> Result<(), String> {
        for (bucket, desired) in desired(properties) {
            let is_fine = merge(&self.buckets[&bucket].1, &desired) == Ok(None);
            if self.can(&bucket, Access::Ours) && !is_fine {
                return Err(format!("{bucket} lacks its rule"));
            }
        }
        for (bucket, (access, found)) in &self.buckets {
            let is_left = named_before.contains_key(bucket) && !properties.contains_key(bucket);
            if is_left && *access == Access::Ours && found.is_ours(OWNER) {
                return Err(format!("{bucket} has a rule"));
            }
            let others = without(found, OWNER).unwrap_or_else(|| found.clone());
            if others != of_others() {
                return Err(format!("{bucket} lacks what others put"));
            }
        }
        Ok(())
    }
}

fn properties() -> impl Strategy<Value = Properties> {
    let prefix = prop::sample::select(vec!["in/", "orders/"]);
    let one = (prop::sample::select(BUCKETS.to_vec()), prefix);
    prop::collection::btree_map(one.0.prop_map(str::to_owned), one.1.prop_map(str::to_owned), 1..4)
}

/// Generates faults in some calls, with or without effect.
fn faults() -> impl Strategy<Value = Vec<Option<bool>>> {
    prop::collection::vec(prop::option::weighted(0.3, any::<bool>()), 0..12)
}

fn accesses() -> impl Strategy<Value = Vec<Access>> {
    let one = prop_oneof![3 => Just(Access::Ours), 1 => Just(Access::NotOurs), 1 => Just(Access::Refused)];
    prop::collection::vec(one, BUCKETS.len())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// Covers updates that fail anywhere, are rolled back, fail there too, and are repeated. The
    /// deployed properties name no bucket that is out of reach from the beginning.
    #[test]
    fn every_order_of_failures_converges_and_no_bucket_that_stays_is_ever_silent(
        first in properties(),
        changes in prop::collection::vec((properties(), faults(), faults()), 1..4),
        accesses in accesses(),
    ) {
        let mut world = World::new();
        for (bucket, access) in BUCKETS.iter().zip(accesses) {
            if !first.contains_key(*bucket) {
                world.buckets.get_mut(*bucket).expect("a bucket").0 = access;
            }
        }
        let made = world.serve(Aim::Converge, &first, &Properties::new(), |_| {});
        prop_assert!(made);
        let mut deployed = first;
        for (new, on_the_way, on_the_way_back) in changes {
            let before = world.clone();
            let stays_told = |world: &World| {
                for bucket in new.keys().filter(|bucket| deployed.contains_key(*bucket)) {
                    assert!(world.has_rule(bucket), "{bucket} is silent");
                }
                let is_added = new.keys().all(|bucket| world.has_rule(bucket));
                let is_whole = deployed.keys().all(|bucket| world.has_rule(bucket));
                assert!(is_added || is_whole, "removed before all were added");
            };
            world.faults = on_the_way;
            if world.serve(Aim::Converge, &new, &deployed, stays_told) {
                prop_assert_eq!(world.is_as(&new, &deployed), Ok(()));
                deployed = new;
                continue;
            }
            if new.keys().any(|bucket| !world.can(bucket, Access::Ours)) {
                for (bucket, (_, found)) in &world.buckets {
                    prop_assert_eq!(found, &before.buckets[bucket].1, "an effect in {}", bucket);
                }
            }
            world.faults = on_the_way_back;
            let mut tries = 0;
            while !world.serve(Aim::Restore, &deployed, &new, |world| {
                for bucket in deployed.keys().filter(|bucket| new.contains_key(*bucket)) {
                    assert!(world.has_rule(bucket), "{bucket} is silent");
                }
            }) {
                tries += 1;
                prop_assert!(tries <= 12, "the way back is barred");
            }
            prop_assert_eq!(world.is_as(&deployed, &new), Ok(()));
        }
        let mut tries = 0;
        while !world.serve(Aim::Remove, &Properties::new(), &deployed, |_| {}) {
            tries += 1;
            prop_assert!(tries <= 12, "it is never deleted");
        }
        prop_assert_eq!(world.is_as(&Properties::new(), &deployed), Ok(()));
    }

    /// If a bucket of the deployed properties disappears or becomes inaccessible, a rollback must
    /// still be possible.
    #[test]
    fn the_way_back_ends_with_every_rule_that_can_be_put(
        old in properties(),
        new in properties(),
        accesses in accesses(),
        faults in faults(),
    ) {
        let mut world = World::new();
        world.faults = faults;
        for (bucket, access) in BUCKETS.iter().zip(&accesses) {
            world.buckets.get_mut(*bucket).expect("a bucket").0 = *access;
        }
        let is_closed = |bucket: &String| world.can(bucket, Access::Refused);
        let is_barred = old.keys().any(is_closed);
        let done = (0..=12).any(|_| world.serve(Aim::Restore, &old, &new, |_| {}));
        prop_assert_eq!(done, !is_barred);
        prop_assert_eq!(world.is_as(&old, &new), Ok(()));
    }
}

fn looks(all: &[(&str, Look)]) -> BTreeMap<String, Look> {
    all.iter().map(|(bucket, look)| ((*bucket).to_owned(), look.clone())).collect()
}

fn named(buckets: &[&str]) -> BTreeMap<String, Desired> {
    desired(&buckets.iter().map(|bucket| ((*bucket).to_owned(), "in/".to_owned())).collect())
}

#[test]
fn all_buckets_that_cannot_get_a_rule_are_named_together() {
    let taken = Entry { filter_rules: Vec::new(), ..of_others().functions[0].clone() };
    let taken = Configuration { functions: vec![taken], ..Configuration::default() };
    let looks = looks(&[
        ("acme-a", Look::Found(of_others())),
        ("acme-b", Look::NotOurs("there is no such bucket".to_owned())),
        ("acme-c", Look::Failed("SlowDown".to_owned())),
        ("acme-d", Look::Found(taken)),
    ]);
    let hindrances = plan(Aim::Converge, &named(&["acme-a", "acme-b", "acme-d"]), &looks, None)
        .expect_err("hindrances");
    let [gone, overlap, failed] = &hindrances[..] else { panic!("{hindrances:?}") };
    assert_eq!(gone, "can't set the rule of bucket `acme-b`: there is no such bucket");
    assert!(overlap.contains("`acme-d`") && overlap.contains("`theirs`"), "{overlap}");
    assert_eq!(failed, "can't remove the rule of bucket `acme-c`: SlowDown");
}

#[test]
fn rules_are_added_before_any_is_removed() {
    let all = BUCKETS.map(|bucket| (bucket, Look::Found(of_others())));
    let planned =
        plan(Aim::Converge, &named(&["acme-d", "acme-b"]), &looks(&all), None).expect("a plan");
    let effects = planned.effects.iter().map(|effect| match effect {
        Effect::Put(bucket) => format!("+{bucket}"),
        Effect::Remove(bucket) => format!("-{bucket}"),
    });
    let effects: Vec<String> = effects.collect();
    assert_eq!(effects, ["+acme-b", "+acme-d", "-acme-a", "-acme-c"]);
}

#[test]
fn a_bucket_that_can_be_ours_and_refuses_holds_a_deletion_up_and_no_way_back() {
    let looks = looks(&[("acme-a", Look::Refused("AccessDenied".to_owned()))]);
    let was_put = BTreeSet::from(["acme-a".to_owned()]);
    for announced in [None, Some(&was_put)] {
        assert!(plan(Aim::Remove, &BTreeMap::new(), &looks, announced).is_err());
    }
    let back = plan(Aim::Restore, &BTreeMap::new(), &looks, Some(&was_put)).expect("a plan");
    assert_eq!(back.effects, []);
    assert_eq!(back.notes, ["bucket `acme-a` keeps its rule if it has one: AccessDenied"]);
}

#[test]
fn a_bucket_in_which_nothing_was_ever_put_holds_nothing_up_when_it_refuses() {
    let refused = looks(&[("acme-a", Look::Refused("AccessDenied".to_owned()))]);
    let never = BTreeSet::from(["acme-b".to_owned()]);
    for aim in [Aim::Remove, Aim::Converge, Aim::Restore] {
        let planned = plan(aim, &BTreeMap::new(), &refused, Some(&never)).expect("a plan");
        assert_eq!(planned.effects, []);
        assert_eq!(planned.notes, ["bucket `acme-a` never got a rule to remove: AccessDenied"]);
    }
    let silent = looks(&[("acme-a", Look::Failed("SlowDown".to_owned()))]);
    assert!(plan(Aim::Remove, &BTreeMap::new(), &silent, Some(&never)).is_err(), "to be repeated");
}
