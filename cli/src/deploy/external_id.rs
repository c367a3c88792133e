//! Chooses the external ID. It never prints one.

use anyhow::{Context, bail, ensure};
use landfall_core::routes::{self, NEW_EXTERNAL_ID_CHARS, is_external_id, is_short_external_id};
use landfall_core::secret::Secret;

use super::plan::ExternalId;
use crate::accounts::target::EXTERNAL_ID_VARIABLE;
use crate::terminal::progress::say;

const PREVIOUS_VARIABLE: &str = "LANDFALL_PREVIOUS_EXTERNAL_ID";

/// What the choice depends on.
pub struct Situation<'a> {
    /// The external ID of the routes' target.
    pub written: Option<&'a routes::ExternalId>,
    pub rotate: bool,
    pub has_data_stack: bool,
    pub has_analytics_stack: bool,
}

/// Chooses the external ID for both stacks.
///
/// # Errors
/// Fails if the external ID is invalid or too short, or if a rotation lacks a stack or the current external ID.
pub fn choose(
    situation: &Situation<'_>,
    variable: impl Fn(&str) -> Option<String>,
) -> anyhow::Result<ExternalId> {
    let given = match situation.written {
        Some(routes::ExternalId::Literal(literal)) => Some(literal.clone()),
        Some(routes::ExternalId::Variable(name)) => read(name, &variable)?,
        None => read(EXTERNAL_ID_VARIABLE, &variable)?,
    };
    if situation.rotate {
        ensure!(
            situation.has_data_stack && situation.has_analytics_stack,
            "--rotate-external-id changes the external ID of both stacks, but they don't both exist yet"
        );
        let Some(previous) = read(PREVIOUS_VARIABLE, &variable)? else {
            bail!(
                "--rotate-external-id needs the current external ID in {PREVIOUS_VARIABLE}: CloudFormation \
                 doesn't show it; find it in the trigger's configuration in the data account \
                 (Environment.Variables.LANDFALL_EXTERNAL_ID)"
            );
        };
        let new = given.map_or_else(random, Ok)?;
        ensure!(new != previous, "the new external ID is the same as the current one");
        ensure!(!is_short_external_id(new.expose()), too_short());
        return Ok(ExternalId::Rotated { new, previous });
    }
    if given.as_ref().is_some_and(|given| is_short_external_id(given.expose())) {
        // CloudFormation doesn't show which one is deployed. If it is another, the provisioner refuses this one.
        ensure!(situation.has_data_stack && situation.has_analytics_stack, too_short());
        say(&format!(
            "warning: the external ID has fewer than {NEW_EXTERNAL_ID_CHARS} characters, so it can be guessed; \
             --rotate-external-id gives both stacks a random one"
        ));
    }
    Ok(match (given, situation.has_data_stack, situation.has_analytics_stack) {
        (Some(given), ..) => ExternalId::New(given),
        (None, true, true) => ExternalId::Kept,
        (None, has_data_stack, has_analytics_stack) => {
            if has_data_stack || has_analytics_stack {
                say("only one of the two stacks exists: both get a new external ID");
            }
            ExternalId::New(random()?)
        }
    })
}

fn too_short() -> String {
    format!(
        "the external ID has fewer than {NEW_EXTERNAL_ID_CHARS} characters, so it can be guessed: leave it out to \
         get a random one, or set a longer one (`openssl rand -hex 16`)"
    )
}

fn read(name: &str, variable: &impl Fn(&str) -> Option<String>) -> anyhow::Result<Option<Secret>> {
    let Some(text) = variable(name).filter(|text| !text.is_empty()) else { return Ok(None) };
    ensure!(
        is_external_id(&text),
        "{name} is not a valid external ID: use 2 to 1,224 letters, digits and `+=,.@:/_-`"
    );
    Ok(Some(Secret::new(text)))
}

/// Returns 128 random bits as hexadecimal digits.
fn random() -> anyhow::Result<Secret> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)
        .map_err(|error| anyhow::anyhow!("{error}"))
        .context("failed to make an external ID: the system returned no random bytes")?;
    Ok(Secret::new(bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(
        rotate: bool,
        stacks: (bool, bool),
        variables: &[(&str, &str)],
    ) -> anyhow::Result<ExternalId> {
        let written = routes::ExternalId::Variable("ITS_ID".to_owned());
        let situation = Situation {
            written: Some(&written),
            rotate,
            has_data_stack: stacks.0,
            has_analytics_stack: stacks.1,
        };
        let value = |name: &str| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        };
        choose(&situation, value)
    }

    #[test]
    fn the_environment_comes_before_what_is_there_and_that_before_a_random_one()
    -> anyhow::Result<()> {
        let set = [("ITS_ID", "given-7f3a-0123456")];
        let ExternalId::New(id) = chosen(false, (true, true), &set)? else { panic!("not taken") };
        assert_eq!(id.expose(), "given-7f3a-0123456");
        assert!(matches!(chosen(false, (true, true), &[("ITS_ID", "")])?, ExternalId::Kept));
        for stacks in [(false, false), (true, false), (false, true)] {
            let random = || -> anyhow::Result<Secret> {
                let ExternalId::New(id) = chosen(false, stacks, &[])? else { panic!("not made") };
                Ok(id)
            };
            let (one, other) = (random()?, random()?);
            assert!(one != other && one.expose().len() == 32 && is_external_id(one.expose()));
        }
        Ok(())
    }

    #[test]
    fn a_rotation_needs_both_stacks_and_the_one_before() -> anyhow::Result<()> {
        let before = ("LANDFALL_PREVIOUS_EXTERNAL_ID", "before-1");
        assert!(chosen(true, (true, false), &[before]).is_err());
        assert!(chosen(true, (true, true), &[]).is_err());
        assert!(chosen(true, (true, true), &[before, ("ITS_ID", "before-1")]).is_err());
        let rotated = chosen(true, (true, true), &[before, ("ITS_ID", "after-7f3a-0123456")])?;
        let ExternalId::Rotated { new, previous } = rotated else { panic!("not rotated") };
        assert_eq!((new.expose(), previous.expose()), ("after-7f3a-0123456", "before-1"));
        Ok(())
    }

    #[test]
    fn a_short_external_id_is_refused_unless_it_may_be_deployed_already() -> anyhow::Result<()> {
        let short = ("ITS_ID", "fifteen-7f3a-xx");
        for stacks in [(false, false), (true, false), (false, true)] {
            let error = chosen(false, stacks, &[short]).expect_err("it is new");
            let told = format!("{error:#}");
            assert!(told.contains("openssl rand") && !told.contains("7f3a"), "{told}");
        }
        let before = ("LANDFALL_PREVIOUS_EXTERNAL_ID", "before-1");
        assert!(chosen(true, (true, true), &[before, short]).is_err());
        let ExternalId::New(id) = chosen(false, (true, true), &[short])? else {
            panic!("not taken")
        };
        assert_eq!(id.expose(), short.1);
        Ok(())
    }

    #[test]
    fn an_external_id_that_is_none_is_refused_and_not_shown() {
        let error = chosen(false, (true, true), &[("ITS_ID", "a secret")]).expect_err("a space");
        let told = format!("{error:#}");
        assert!(told.contains("ITS_ID") && !told.contains("a secret"), "{told}");
    }
}
