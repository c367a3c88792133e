//! Judges each link of the chain.
