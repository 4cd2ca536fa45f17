//! Rules that change while they are used.

mod bad_files;
mod bad_text;
mod flip;
mod links;
mod process;
mod restart;
mod ways;
