//! Runs every target on its corpora, to see what of the code they reach: `replay FOLDER...`, where
//! each folder has a folder for each target.

use std::path::Path;

fn main() -> std::io::Result<()> {
    for folder in std::env::args().skip(1) {
        for (target, run) in jlb_fuzz::TARGETS {
            let corpus = Path::new(&folder).join(target);
            if !corpus.exists() {
                continue;
            }
            for file in std::fs::read_dir(corpus)? {
                run(&std::fs::read(file?.path())?);
            }
        }
    }
    Ok(())
}
