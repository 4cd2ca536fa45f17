//! Doorward: a policy decision point. It validates the access token a caller presents, builds a
//! principal from its claims, evaluates Cedar policies, and answers allow or deny with reasons.
//!
//! A request enters through [`pep`], is decided by [`pdp`], and leaves a record in [`audit`].
//! [`authn`] says who asks, [`pip`] what we know, [`policy`] what follows; [`pap`] changes the rules.
//!
//! | level | modules | |
//! |---|---|---|
//! | 0 | [`model`] [`metrics`] [`proto`] | the vocabulary, the counters, the generated wire types |
//! | 1 | [`config`] [`policy`] [`ledger`] [`watch`] [`client`] | what the operator wrote, the engine, the ordered log, files that change, how a service asks |
//! | 2 | [`bundle`] [`store`] | a directory of rules, read and compiled into one immutable `Snapshot`; what the ledger comes to |
//! | 3 | [`authn`] [`pip`] [`audit`] | credential → identity, identity → principal and facts, the decision log |
//! | 4 | [`pdp`] | `Pdp::answer`, the only door, and the pure `decide` |
//! | 5 | [`pap`] [`pep`] | the life of the rules; the faces, and one table from refusals to answers |
//! | 6 | [`admin`] | what operators and probes see |
//! | 7 | [`server`] | the composition root: listeners, tasks, shutdown |
//! | 8 | [`cli`] | what people type |
//!
//! A module imports lower levels only; the test `layers` holds it. `ARCHITECTURE.md` says why.

#[cfg(feature = "server")]
pub mod admin;
#[cfg(feature = "server")]
pub mod audit;
#[cfg(feature = "server")]
pub mod authn;
#[cfg(feature = "server")]
pub mod bundle;
#[cfg(feature = "server")]
pub mod cli;
#[cfg(feature = "client")]
pub mod client;
#[cfg(feature = "server")]
pub mod config;
#[cfg(feature = "server")]
pub mod ledger;
#[cfg(feature = "server")]
pub mod metrics;
pub mod model;
#[cfg(feature = "server")]
pub mod pap;
#[cfg(feature = "server")]
pub mod pdp;
#[cfg(feature = "server")]
pub mod pep;
#[cfg(feature = "server")]
pub mod pip;
#[cfg(feature = "server")]
pub mod policy;
#[cfg(feature = "client")]
pub mod proto;
#[cfg(feature = "server")]
pub mod server;
#[cfg(feature = "server")]
pub mod store;
#[cfg(feature = "server")]
pub mod watch;
