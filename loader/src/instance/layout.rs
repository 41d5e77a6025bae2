//! Comparing pinned maps with what the built-in object defines.

use crate::{
    error::{Code, Error, Result},
    kernel::{map::Map, object},
};

use super::paths::Paths;

/// Every difference of `maps` from the object's definitions. `strict` counts what only matters to the programs, too.
pub(crate) fn differences<'a>(maps: impl Iterator<Item = &'a Map>, strict: bool) -> Result<Vec<String>> {
    let definitions = object::definitions()?;
    Ok(maps
        .flat_map(|map| match definitions.get(map.name()) {
            Some(definition) => definition.differences(map.name(), map.info(), strict),
            None => vec![format!("{}: not in this version", map.name())],
        })
        .collect())
}

/// One error that lists them all.
pub(crate) fn error(paths: &Paths, problems: &[String]) -> Error {
    Error::new(
        Code::Abi,
        format!("the maps in {} do not fit this version: {}", paths.maps.display(), problems.join("; ")),
    )
    .hint("run `mseg-loader detach --all` and attach again, with the mseg-loader of this version")
}
