//! What is known: claims → principal; a question → the slice of entities and the context it needs.
//!
//! **Invariant:** does no I/O and reads no clock; a fact has one owner, and one from elsewhere is refused.

mod context;
mod declared;
mod facts;
mod gather;
mod kept;
mod principal;
mod principals;
mod question;
mod recorded;
mod slice;
mod storable;
mod stored;
mod suppose;

pub use declared::drop_undeclared;
pub use gather::{Gathered, gather};
pub use principal::Principal;
pub use principals::{LivePrincipals, Principals};
pub use question::{Asked, Resolved};
pub use recorded::{Told, asked_again};
pub use storable::{Storable, stamp, storable, storable_key, suppose_directory};
pub use stored::{DirectoryView, Known, facts_of, live_parents};
pub use suppose::Supposing;
