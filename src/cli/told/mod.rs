//! What is wrong with a bundle, told to people and to tools.

mod sarif;
mod snippet;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use serde_json::json;

use super::{
    Failure,
    output::{Style, shown},
};
use crate::{
    bundle::{BundleFiles, BundleLimits, CompileOptions, Snapshot},
    policy::Fault,
};

/// How many faults are shown to people in full.
const SHOWN: usize = 50;

/// How much it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Weight {
    Error,
    Warning,
}

/// How to tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Form {
    #[default]
    Human,
    Json,
    Sarif,
}

/// The flags of a command that tells faults.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(super) struct FormArgs {
    /// Print JSON
    #[arg(long, conflicts_with = "sarif")]
    json: bool,
    /// Print SARIF 2.1.0, for code scanning
    #[arg(long)]
    sarif: bool,
}

impl FormArgs {
    pub(super) fn form(self) -> Form {
        match (self.json, self.sarif) {
            (true, _) => Form::Json,
            (_, true) => Form::Sarif,
            _ => Form::Human,
        }
    }
}

/// A bundle's directory, read and compiled as a server with default settings would.
pub(super) struct Loaded {
    directory: PathBuf,
    /// What could be read.
    pub(super) files: BundleFiles,
    pub(super) compiled: Result<Snapshot, Vec<Fault>>,
}

impl Loaded {
    /// Reads the bundle in `directory`.
    pub(super) fn read(directory: &Path) -> Result<Self, Failure> {
        let (files, faults) = read(directory)?;
        let compiled = match faults.is_empty() {
            true => Snapshot::compile(&files, &CompileOptions::default()),
            false => Err(faults),
        };
        Ok(Self {
            directory: directory.to_owned(),
            files,
            compiled,
        })
    }

    /// Where its files are told to be.
    pub(super) fn teller(&self) -> Teller<'_> {
        Teller {
            directory: &self.directory,
            files: &self.files,
        }
    }
}

/// The files of `directory`, and what could not be read.
pub(super) fn read(directory: &Path) -> Result<(BundleFiles, Vec<Fault>), Failure> {
    if !directory.is_dir() {
        return Err(Failure::usage(format!(
            "there is no directory `{}`: give the bundle's",
            directory.display()
        )));
    }
    Ok(
        match BundleFiles::read(directory, BundleLimits::default()) {
            Ok(files) => (files, Vec::new()),
            Err(faults) => (BundleFiles::default(), faults),
        },
    )
}

/// Tells faults of a bundle's files.
#[derive(Clone, Copy)]
pub(super) struct Teller<'b> {
    pub(super) directory: &'b Path,
    pub(super) files: &'b BundleFiles,
}

impl Teller<'_> {
    /// Faults for people, each with the lines it is about.
    pub(super) fn human(self, faults: &[Fault], weight: Weight, style: Style) -> String {
        let mut out = String::new();
        for fault in faults.iter().take(SHOWN) {
            out.push_str(&snippet::render(self, fault, weight, style));
            out.push_str("\n\n");
        }
        if let Some(more) = faults.len().checked_sub(SHOWN).filter(|more| *more > 0) {
            out.push_str(&format!("… and {more} more\n\n"));
        }
        out
    }

    /// Faults and warnings as a log of SARIF.
    pub(super) fn sarif(self, told: &[(Weight, &Fault)]) -> String {
        format!("{}\n", sarif::log(self, told))
    }

    /// The path of a file, as seen from here.
    fn path(self, file: &str) -> String {
        self.directory.join(file).display().to_string()
    }

    /// What is told of a bundle that is not valid.
    pub(super) fn invalid(self, faults: &[Fault], form: Form, style: Style) -> String {
        match form {
            Form::Json => format!("{}\n", json!({ "valid": false, "faults": faults })),
            Form::Sarif => {
                let told: Vec<_> = faults.iter().map(|it| (Weight::Error, it)).collect();
                self.sarif(&told)
            }
            Form::Human => {
                let mut out = self.human(faults, Weight::Error, style);
                let (count, s) = (faults.len(), if faults.len() == 1 { "" } else { "s" });
                out.push_str(&format!("{}  {count} fault{s}\n", style.bad("not valid")));
                out
            }
        }
    }
}

/// A name that others chose, for one line.
pub(super) fn name(text: &str) -> String {
    shown(text)
}
