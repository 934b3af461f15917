//! Options of the node: of every container of this runtime, whatever handler it comes by.
//!
//! What a handler's own options say comes before. Handlers that can carry none are those of the type of runc, those that
//! k3s makes for a shim that it finds, and Docker's by the runtime's type.

use std::{fs, io, path::Path};

use toml::{Table, Value};

use super::{Options, OptionsError};

/// Where they are.
pub const PATH: &str = "/etc/containerd-shim-wasmedge/options.toml";

/// Reads them; there are none where `path` is not.
///
/// # Errors
/// The file cannot be read, or holds what no option can be; it is named.
pub fn read(path: &Path) -> Result<Table, OptionsError> {
    let wrong = |cause: String| OptionsError::File(path.display().to_string(), cause);
    let text = match fs::read_to_string(path) {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(Table::new());
        }
        text => text.map_err(|error| wrong(error.to_string()))?,
    };
    let table = super::parse(&text).map_err(|error| wrong(error.to_string()))?;
    Options::from_table(&table).map_err(|error| wrong(error.to_string()))?;
    Ok(table)
}

/// Lays `given` over `node`: option by option, also in sections.
pub fn overlaid(mut node: Table, given: Table) -> Table {
    for (name, value) in given {
        match (node.get_mut(&name), value) {
            (Some(Value::Table(section)), Value::Table(given)) => {
                let under = std::mem::take(section);
                *section = overlaid(under, given);
            }
            (_, value) => drop(node.insert(name, value)),
        }
    }
    node
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handler_s_own_options_come_before_those_of_the_node() {
        let table = |text: &str| text.parse::<Table>().unwrap();
        let node = table("SystemdCgroup = true\n[aot]\npolicy = \"off\"\ncache_mib = 7\n[log]\nlevel = \"warn\"\n");
        let both = overlaid(node, table("annotations = \"spec\"\naot = { policy = \"wait\" }\n"));
        let expected = "SystemdCgroup = true\nannotations = \"spec\"\n[aot]\npolicy = \"wait\"\ncache_mib = 7\n[log]\nlevel = \"warn\"\n";
        assert_eq!(both, table(expected));
    }

    #[test]
    fn a_file_that_is_not_there_says_nothing_and_one_that_is_wrong_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("options.toml");
        assert!(read(&path).unwrap().is_empty());
        for (text, cause) in [("= 1", "not TOML"), ("[aot]\npolicy = \"often\"\n", "aot.policy")] {
            fs::write(&path, text).unwrap();
            let error = read(&path).unwrap_err().to_string();
            assert!(error.contains(&path.display().to_string()) && error.contains(cause), "{error}");
        }
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(read(&path).unwrap_err().to_string().contains("Is a directory"));
    }
}
