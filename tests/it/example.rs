//! The example bundle: valid, and it answers what its own cases say.

use std::path::Path;

use doorward::{bundle::CompileOptions, pap};

#[test]
fn the_example_bundle_passes_its_own_cases() {
    match pap::check(Path::new("policies"), &CompileOptions::default()) {
        Ok((_, cases)) => assert!(cases > 30, "only {cases} cases ran"),
        Err(faults) => {
            let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
            panic!("{}", faults.join("\n"));
        }
    }
}
