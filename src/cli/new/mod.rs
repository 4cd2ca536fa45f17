//! `doorward new`.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::{Exit, Failure, output, output::shown};

macro_rules! files {
    ($($path:literal,)*) => {
        &[$(($path, include_str!(concat!("tenants/", $path))),)*]
    };
}

/// A bundle for people of several organisations, who may do what their roles say.
const TENANTS: &[(&str, &str)] = files![
    "bundle.toml",
    "schema.cedarschema",
    "entities.json",
    "roles.cedar",
    "tenancy.cedar",
    "tests/fixtures.yaml",
    "tests/roles.yaml",
    "tests/tenancy.yaml",
];
/// What stands for the bundle's name in the files.
const NAME: &str = "{{name}}";

/// Start a bundle: schema, policies, mapping and cases for people of several organisations
///
/// It is valid and its cases pass; make it yours from there.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The directory, which is made; one that is there must be empty
    #[arg(value_name = "DIR")]
    directory: PathBuf,
}

pub(super) fn run(args: Args) -> Result<Exit, Failure> {
    let directory = &args.directory;
    let taken = match fs::read_dir(directory) {
        Ok(mut entries) => entries.next().is_some(),
        Err(why) if why.kind() == io::ErrorKind::NotFound => false,
        Err(_) => true,
    };
    let shown_directory = shown(&directory.display().to_string());
    if taken {
        let message =
            format!("`{shown_directory}` is there already: give a directory that is empty or new");
        return Err(Failure::usage(message));
    }
    write(directory)
        .map_err(|why| Failure::failed(format!("cannot write to `{shown_directory}`: {why}")))?;
    let mut out = String::new();
    for (path, _) in TENANTS {
        out.push_str(&format!("  {shown_directory}/{path}\n"));
    }
    let quoted = quoted(&shown_directory);
    out.push_str(&format!(
        "\nNext:\n  doorward test {quoted}\n  doorward serve --dev --bundle {quoted}\n"
    ));
    output::print(&out)?;
    Ok(Exit::Ok)
}

fn write(directory: &Path) -> io::Result<()> {
    let name = name(directory);
    for (path, text) in TENANTS {
        let at = directory.join(path);
        if let Some(folder) = at.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(at, text.replace(NAME, &name))?;
    }
    Ok(())
}

/// The directory's own name, in the letters that a bundle's name has.
fn name(directory: &Path) -> String {
    let path = std::path::absolute(directory).unwrap_or_else(|_| directory.to_owned());
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let kept: String = name
        .chars()
        .map(|char| match char.is_ascii_alphanumeric() {
            true => char.to_ascii_lowercase(),
            false => '-',
        })
        .collect();
    match kept.trim_matches('-') {
        "" => "bundle".into(),
        name => name.to_owned(),
    }
}

/// For a shell.
fn quoted(path: &str) -> String {
    let plain = |char: char| char.is_ascii_alphanumeric() || "-._/".contains(char);
    match path.chars().all(plain) {
        true => path.to_owned(),
        false => format!("'{}'", path.replace('\'', "'\\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        bundle::{BundleFiles, CompileOptions},
        pap,
    };

    #[test]
    fn what_is_started_is_valid_formatted_and_passes_its_cases() {
        let files = TENANTS
            .iter()
            .map(|(path, text)| (*path, text.replace(NAME, "x")));
        let files = BundleFiles::new(files);
        let checked = pap::check_files(&files, &CompileOptions::default(), &|| false);
        let checked = checked.unwrap_or_else(|faults| panic!("{faults:#?}"));
        assert!(checked.cases > 20, "{} cases", checked.cases);
        assert_eq!(pap::warnings(&checked.snapshot), []);
        for (path, text) in files.iter().filter(|(path, _)| path.ends_with(".cedar")) {
            assert_eq!(pap::format_policies(path, text).unwrap(), text);
        }
    }

    #[test]
    fn a_bundle_is_named_after_its_directory() {
        for (path, expected) in [
            ("/a/Orders", "orders"),
            ("/a/my orders", "my-orders"),
            ("/", "bundle"),
            ("/a/-é-", "bundle"),
        ] {
            assert_eq!(name(Path::new(path)), expected);
        }
    }
}
