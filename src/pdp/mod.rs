//! `Pdp::answer`, the only door to a decision, and the pure `decide`.

mod answer;

pub use answer::{Answer, Refused};

use crate::model::{AccessRequest, Timestamp};

/// The decision point.
#[derive(Debug)]
pub struct Pdp {}

impl Pdp {
    /// Decides one request, and records it.
    ///
    /// # Errors
    /// [`Refused`] when no decision could be made; never an allow.
    pub async fn answer(&self, ask: AccessRequest, now: Timestamp) -> Result<Answer, Refused> {
        let _ = (ask, now);
        std::future::ready(()).await;
        Err(Refused::new(
            crate::model::DecisionId::new(now),
            crate::model::Refusal::UnknownBundle,
        ))
    }
}
