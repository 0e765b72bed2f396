//! The loop that publishes: read, plan, guard, apply, verify.
