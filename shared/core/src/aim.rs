//! The direction that a request of CloudFormation gives the work of a custom resource.

/// What a request amounts to, given what CloudFormation says about the stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aim {
    /// Bring the resource to its properties, for a Create or an Update that goes forward.
    Converge,
    /// Restore what was there, for an Update while CloudFormation rolls the stack back. A stack that can't roll
    /// back is stuck.
    Restore,
    /// Remove the resource, for a Delete.
    Remove,
}

impl Aim {
    /// Returns `true` if later effects are still carried out after one has failed. On the way forward they aren't,
    /// because the last effects remove what was there before.
    pub fn goes_on_after_a_failure(self) -> bool {
        self != Self::Converge
    }
}
