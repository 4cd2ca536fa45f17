//! How much is worked on at once, and for how long.
//!
//! **Invariant:** a request over a bound is refused at once, by the handler that would have answered
//! it: each face says so in its own protocol, and none of them can be read as an allow.

use std::{sync::Arc, time::Duration};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What a request is, for its bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// One question.
    Check,
    /// Many at once.
    Batch,
    /// A stream of them, for as long as it is open.
    Stream,
    /// One to be explained, which costs as much as a thousand.
    Explain,
}

/// How many of each class at once, and how long each may take.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Single questions; they are held only while something is awaited for them.
    pub checks: usize,
    /// Batches; they take turns.
    pub batches: usize,
    /// Open streams.
    pub streams: usize,
    /// Explanations.
    pub explanations: usize,
    /// The longest time for a question or a batch; a caller may ask for less.
    pub deadline: Duration,
    /// The most questions in a batch.
    pub batch: usize,
    /// The most questions in an AuthZEN request.
    pub evaluations: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            checks: 4096,
            batches: 64,
            streams: 1024,
            explanations: 2,
            deadline: Duration::from_secs(1),
            batch: 1000,
            evaluations: 100,
        }
    }
}

/// Lets requests in, up to its bounds; cheap to clone.
#[derive(Clone, Debug)]
pub struct Admission {
    bounds: Bounds,
    checks: Arc<Semaphore>,
    batches: Arc<Semaphore>,
    streams: Arc<Semaphore>,
    explanations: Arc<Semaphore>,
}

/// What became of a request on its way to the handler. Listeners put it among its extensions.
#[derive(Clone, Copy, Debug, Default)]
pub struct Arrival {
    /// How long it waited for a thread.
    pub waited: Duration,
    /// Too many waited before it.
    pub overloaded: bool,
}

/// A place among those that are worked on; given back when dropped.
#[derive(Debug)]
pub struct Place(#[expect(dead_code, reason = "held, not read")] OwnedSemaphorePermit);

/// Too much at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overloaded;

impl Admission {
    /// Admits so much.
    pub fn new(bounds: Bounds) -> Self {
        let places = |count: usize| Arc::new(Semaphore::new(count.min(Semaphore::MAX_PERMITS)));
        Self {
            checks: places(bounds.checks),
            batches: places(bounds.batches),
            streams: places(bounds.streams),
            explanations: places(bounds.explanations),
            bounds,
        }
    }

    /// What is admitted.
    pub fn bounds(&self) -> &Bounds {
        &self.bounds
    }

    /// Lets a request in, at once or not at all.
    ///
    /// # Errors
    /// [`Overloaded`], which the handler must tell in its own protocol.
    pub fn enter(&self, class: Class, arrival: Option<&Arrival>) -> Result<Place, Overloaded> {
        if arrival.is_some_and(|arrival| arrival.overloaded) {
            return Err(Overloaded);
        }
        let places = Arc::clone(self.places(class));
        places
            .try_acquire_owned()
            .map(Place)
            .map_err(|_| Overloaded)
    }

    /// Places taken and places there are, by class.
    pub fn load(&self, class: Class) -> (usize, usize) {
        let (places, all) = match class {
            Class::Check => (&self.checks, self.bounds.checks),
            Class::Batch => (&self.batches, self.bounds.batches),
            Class::Stream => (&self.streams, self.bounds.streams),
            Class::Explain => (&self.explanations, self.bounds.explanations),
        };
        (all.saturating_sub(places.available_permits()), all)
    }

    /// How long a request may still take: what its caller `asked` for, within our own bound, less
    /// what it waited already.
    pub fn time_left(&self, asked: Option<Duration>, arrival: Option<&Arrival>) -> Duration {
        let bound = asked.map_or(self.bounds.deadline, |asked| {
            asked.min(self.bounds.deadline)
        });
        bound.saturating_sub(arrival.map_or(Duration::ZERO, |arrival| arrival.waited))
    }

    fn places(&self, class: Class) -> &Arc<Semaphore> {
        match class {
            Class::Check => &self.checks,
            Class::Batch => &self.batches,
            Class::Stream => &self.streams,
            Class::Explain => &self.explanations,
        }
    }
}

impl Default for Admission {
    fn default() -> Self {
        Self::new(Bounds::default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_free_again_when_its_request_ends() {
        let admission = Admission::new(Bounds {
            checks: 1,
            ..Bounds::default()
        });
        let place = admission.enter(Class::Check, None).unwrap();
        assert_eq!(admission.load(Class::Check), (1, 1));
        assert!(admission.enter(Class::Check, None).is_err());
        assert!(admission.enter(Class::Batch, None).is_ok(), "own places");
        drop(place);
        assert!(admission.enter(Class::Check, None).is_ok());
        let late = Arrival {
            overloaded: true,
            ..Arrival::default()
        };
        assert!(admission.enter(Class::Check, Some(&late)).is_err());
    }

    #[track_caller]
    fn left(asked: Option<u64>, waited: u64, expected: u64) {
        let arrival = Arrival {
            waited: Duration::from_millis(waited),
            overloaded: false,
        };
        let asked = asked.map(Duration::from_millis);
        let left = Admission::default().time_left(asked, Some(&arrival));
        assert_eq!(left, Duration::from_millis(expected));
    }

    #[test]
    fn callers_may_have_less_time_than_the_bound_and_never_more() {
        left(None, 0, 1000);
        left(Some(200), 0, 200);
        left(Some(5000), 0, 1000);
        left(Some(200), 150, 50);
        left(Some(200), 300, 0);
        left(Some(0), 0, 0);
    }
}
