//! All containers of the node, by their records: those of every host, also of one that is gone.

use std::fs;

use wasmedge_shim_protocol::{ContainerKey, Location};

use super::state::{Record, State};

/// The record of a container, if it has one that is understood.
pub fn record(location: &Location, key: &ContainerKey) -> Option<Record> {
    State::new(location, key).record().ok().flatten()
}

/// The containers that have a record which is understood, in the order of their names. They come and go meanwhile.
pub fn containers(location: &Location) -> Vec<(ContainerKey, Record)> {
    let names = |path| {
        let entries = fs::read_dir(path).into_iter().flatten().flatten();
        entries.filter_map(|entry| entry.file_name().into_string().ok())
    };
    let mut found = Vec::new();
    for namespace in names(location.containers()) {
        for id in names(location.namespace_state(&namespace)) {
            let key = ContainerKey { namespace: namespace.clone(), id };
            if let Some(record) = record(location, &key) {
                found.push((key, record));
            }
        }
    }
    found.sort_by(|(one, _), (other, _)| one.cmp(other));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn containers_are_found_by_their_records_and_what_is_no_record_is_left_out() {
        let top = tempfile::tempdir().unwrap();
        let location = Location::new(top.path());
        assert_eq!(containers(&location), []);
        for (namespace, id) in [("moby", "b"), ("default", "z"), ("moby", "a")] {
            let state = State::new(&location, &ContainerKey { namespace: namespace.into(), id: id.into() });
            state.make().unwrap();
            if id != "z" {
                state.save(&Record { program: id.to_owned(), ..Record::default() }).unwrap();
            }
        }
        fs::write(location.containers().join("file"), "").unwrap();
        let found = containers(&location);
        assert_eq!(found.iter().map(|(key, _)| key.to_string()).collect::<Vec<_>>(), ["moby/a", "moby/b"]);
        assert_eq!(found[0].1.program, "a");
    }
}
