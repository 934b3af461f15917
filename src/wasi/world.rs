//! All that a guest sees of its container.

use crate::{Descriptor, Reach, Table};

/// A guest's arguments, environment and descriptors.
#[derive(Debug, Default)]
pub struct Wasi {
    /// Its arguments; the first is its name. Bytes, without a zero among them.
    pub args: Vec<Vec<u8>>,
    /// Its environment, `NAME=value`. Bytes, without a zero among them.
    pub env: Vec<Vec<u8>>,
    /// What it has open.
    pub table: Table,
    /// Whether sockets share their ports with others that do: each is bound with `SO_REUSEPORT` (socket(7)).
    pub reuse_port: bool,
    /// Whether no directory was open that leads to all of the container: then no path of a socket does either.
    pub(crate) walled: bool,
}

impl Wasi {
    /// With these open from the beginning, numbered from 0 on: first the three standard streams, then directories.
    pub fn new(args: Vec<Vec<u8>>, env: Vec<Vec<u8>>, open: impl IntoIterator<Item = Descriptor>) -> Self {
        let (mut table, mut walled) = (Table::default(), true);
        for descriptor in open {
            walled &= descriptor.preopen.is_none() || descriptor.reach != Reach::Container;
            table.insert(descriptor);
        }
        Self { args, env, table, reuse_port: false, walled }
    }
}
