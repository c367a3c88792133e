//! What is known of an object, as text for people. It escapes keys and everything else from outside.

use std::fmt::{self, Write};

use landfall_core::chain::object::{Answer, Answers, Head, KEPT, ON_ITS_WAY};
use landfall_core::chain::observed::Look;
use landfall_core::moment::Time;

use super::Object;
use crate::terminal::phrases::{moment, size};
use crate::terminal::printable;

impl Object {
    /// Returns it as lines of text. `doctor` is the command that finds out more.
    pub fn text(&self, now: Time, doctor: &str) -> String {
        let mut out = String::new();
        // Writing to a string cannot fail.
        let _ = self.write(&mut out, now, doctor);
        out
    }

    fn write(&self, out: &mut String, now: Time, doctor: &str) -> fmt::Result {
        self.write_look(out, now)?;
        let doctor = printable(doctor);
        match self.answers() {
            Err(why) => {
                writeln!(out, "which route takes it is unknown: {}", printable(&why))?;
                writeln!(
                    out,
                    "to find out which route takes it and where on its way it is lost, run: {doctor}"
                )
            }
            Ok(answers) if self.write_answers(out, &answers)? => {
                writeln!(out, "to find out where on its way it is lost, run: {doctor}")
            }
            Ok(_) => Ok(()),
        }
    }

    fn write_look(&self, out: &mut String, now: Time) -> fmt::Result {
        match &self.head {
            Look::Seen(Head { size: bytes, modified, version_id, .. }) => {
                write!(out, "S3 has the object: {}", size(*bytes))?;
                if let Some(version) = version_id {
                    write!(out, ", version {}", printable(version))?;
                }
                let Some(modified) = *modified else { return writeln!(out) };
                writeln!(out, ", last modified {}", moment(modified, now))?;
                if now.since(modified) < ON_ITS_WAY {
                    writeln!(
                        out,
                        "its event may still be on its way: look again in a few minutes"
                    )?;
                } else if now.since(modified) > KEPT {
                    writeln!(
                        out,
                        "the ledger forgets an arrival some time after its batch is done (30 days, unless you \
                         configured another time): a job may have read the object long ago"
                    )?;
                }
                Ok(())
            }
            Look::Missing => writeln!(
                out,
                "S3 has no such object now, or no such bucket: check the spelling (nothing in the URI is decoded), \
                 and whether the object was deleted"
            ),
            Look::Denied(_) => writeln!(
                out,
                "S3 doesn't say whether the object exists (403): your credentials need s3:GetObject for it, and \
                 s3:ListBucket for its bucket"
            ),
            Look::DeniedByOrganization(permission) => writeln!(
                out,
                "whether the object exists is unknown: a policy of the organization denies {permission}"
            ),
            Look::Failed(why) => {
                writeln!(out, "whether the object exists is unknown: {}", printable(why))
            }
        }
    }

    /// Writes what each route of the bucket says, and returns `true` if one takes the object.
    fn write_answers(&self, out: &mut String, answers: &Answers) -> Result<bool, fmt::Error> {
        let Answers { from, routes } = answers;
        let from = printable(from);
        if routes.is_empty() {
            let bucket = printable(&self.arrival.bucket);
            writeln!(out, "none of {from} is for bucket `{bucket}`: nothing starts")?;
            return Ok(false);
        }
        writeln!(out, "{from} say for this bucket:")?;
        for Answer { route, words, .. } in routes {
            writeln!(out, "  {route}: {words}")?;
        }
        let is_taken = routes.iter().any(|answer| answer.takes);
        if !is_taken {
            writeln!(out, "no route takes it: with these routes, nothing starts")?;
        }
        Ok(is_taken)
    }
}
