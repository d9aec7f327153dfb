//! Named in scenarios; its body follows.

use crate::{FactKind, Invariant, Record, Verdict};

#[derive(Default)]
pub struct EffectsFollowValidation;

impl Invariant for EffectsFollowValidation {
    fn name(&self) -> &'static str {
        "effects_follow_validation"
    }

    fn about(&self) -> &'static str {
        "effects follow validation"
    }

    fn needs(&self) -> &'static [FactKind] {
        &[FactKind::Committed]
    }

    fn observe(&mut self, _: &Record<'_>) -> Verdict {
        Verdict::Holds
    }
}
