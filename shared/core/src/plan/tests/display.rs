//! A plan as these tests read it.

use std::fmt;

use crate::plan::{JobRunRequest, Plan};

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for request in &self.requests {
            write!(f, "{request}")?;
        }
        for refusal in &self.refusals {
            writeln!(
                f,
                "cannot start anything for arrival {} by route `{}`: {}",
                refusal.arrival, refusal.route, refusal.reason
            )?;
        }
        match (self.requests.len(), self.unmatched.len()) {
            (0, _) if self.refusals.is_empty() => writeln!(f, "nothing would be started"),
            (_, 0) => Ok(()),
            (_, 1) => writeln!(f, "1 arrival matches no route"),
            (_, unmatched) => writeln!(f, "{unmatched} arrivals match no route"),
        }
    }
}

impl fmt::Display for JobRunRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { draft, objects, bytes, .. } = self;
        let (route, job, target) = (&draft.route, &draft.start.job, &draft.start.target);
        let size = bytes.map_or("size not known".to_owned(), |bytes| format!("{bytes} bytes"));
        let noun = if *objects == 1 { "object" } else { "objects" };
        writeln!(
            f,
            "start job `{job}` in `{target}` by route `{route}`: {objects} {noun}, {size}"
        )?;
        for (name, value) in &draft.group {
            writeln!(f, "  group {name} = {}", value)?;
        }
        for (name, value) in &self.arguments {
            writeln!(f, "  {name} {}", value)?;
        }
        Ok(())
    }
}
